use super::{cases::CASES, *};
use crate::pointwise::checks::{check, told};
use cellseg_core::{Tape, testing::noise};
use ndarray::{Array5, s};

fn expected(dims: [usize; 5], window: [usize; 3], x: &[f64]) -> Vec<f64> {
    let x = Array5::from_shape_vec(dims, x.to_vec()).unwrap();
    let [n, d, h, w, c] = dims;
    let [wd, wh, ww] = window;
    Array5::from_shape_fn([n, d / wd, h / wh, w / ww, c], |(n, z, y, v, c)| {
        let part = x.slice(s![n, z * wd..(z + 1) * wd, y * wh..(y + 1) * wh, v * ww..(v + 1) * ww, c]);
        part.iter().copied().fold(f64::NEG_INFINITY, f64::max)
    })
    .into_iter()
    .collect()
}

#[test]
fn each_window_gives_its_greatest_number_and_takes_its_gradient() {
    for (dims, window) in CASES {
        check(&[noise(dims, 1)], 1e-7, |v| max_pool3d(&v[0], *window), |v| expected(*dims, *window, &v[0]));
    }
}

/// The output, and the gradient of the input where that of the output is one everywhere.
fn pooled(x: &[f32], dims: &[usize], window: [usize; 3]) -> Result<(Vec<f32>, Vec<f32>)> {
    let tape = Tape::new();
    let x = Tensor::from_slice(x, dims)?.trainable().on(&tape);
    let y = max_pool3d(&x, window)?;
    let grads = tape.backward_from(&y, Tensor::full(1.0f32, y.shape().dims())?)?;
    let grad = grads.get(&x).ok_or(Error::Gradient("none"))?;
    Ok((y.to_vec()?, grad.to_vec()?))
}

#[test]
fn of_equal_numbers_the_first_takes_the_gradient() -> Result<()> {
    let (y, g) =
        pooled(&[1.0, 3.0, 3.0, 2.0, f32::NEG_INFINITY, f32::NEG_INFINITY], &[1, 1, 1, 6, 1], [1, 1, 2])?;
    assert_eq!(y, [3.0, 3.0, f32::NEG_INFINITY]);
    assert_eq!(g, [0.0, 1.0, 1.0, 0.0, 1.0, 0.0]);
    Ok(())
}

#[test]
fn what_is_not_a_number_is_the_greatest() -> Result<()> {
    for at in 0..4 {
        let mut x = [5.0, f32::INFINITY, 7.0, -1.0];
        x[at] = f32::NAN;
        let (y, g) = pooled(&x, &[1, 1, 2, 2, 1], [1, 2, 2])?;
        assert!(y[0].is_nan());
        assert_eq!(g[at], 1.0);
    }
    Ok(())
}

#[test]
fn recording_changes_no_number() -> Result<()> {
    let x = noise(&[1, 4, 4, 4, 5], 1);
    let plain = max_pool3d(&x, [2; 3])?.to_vec::<f64>()?;
    let recorded = max_pool3d(&x.trainable().on(&Tape::new()), [2; 3])?.to_vec::<f64>()?;
    assert_eq!(plain, recorded);
    Ok(())
}

#[test]
fn windows_that_do_not_fit_are_errors() {
    let x = noise(&[1, 2, 4, 4, 1], 1);
    assert!(told(max_pool3d(&x, [3, 2, 2])).contains("does not fit"));
    assert!(told(max_pool3d(&x, [0, 2, 2])).contains("1 to 256"));
    assert!(told(max_pool3d(&noise(&[1, 7, 7, 7, 1], 1), [7; 3])).contains("1 to 256"));
    assert!(told(max_pool3d(&noise(&[4, 4], 1), [2; 3])).contains("five axes"));
}

#[test]
fn no_samples_and_no_channels_pass_through() -> Result<()> {
    assert_eq!(max_pool3d(&noise(&[0, 2, 2, 2, 3], 1), [2; 3])?.shape().dims(), [0, 1, 1, 1, 3]);
    assert_eq!(pooled(&[], &[1, 2, 2, 2, 0], [2; 3])?, (vec![], vec![]));
    Ok(())
}
