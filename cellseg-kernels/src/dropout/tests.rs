use super::{cases::SHAPES, *};
use crate::pointwise::checks::{check, told};
use cellseg_core::{philox, testing::noise};

#[test]
fn each_number_is_decided_by_its_own_random_word() {
    for dims in SHAPES {
        for p in [0.25, 0.65] {
            let expected = |v: &[Vec<f64>]| {
                let kept =
                    |i: usize| f64::from(philox(9, i as u64 / 4)[i % 4]) >= (p * 2f64.powi(32)).round();
                v[0].iter().enumerate().map(|(i, x)| if kept(i) { x / (1.0 - p) } else { 0.0 }).collect()
            };
            check(&[noise(dims, 1)], 1e-6, |v| dropout(&v[0], p, 9), expected);
        }
    }
}

#[test]
fn the_part_that_is_dropped_is_the_probability_and_depends_on_the_key() -> Result<()> {
    let x = Tensor::full(1.0f32, &[100_000])?;
    for p in [0.1, 0.5, 0.65, 0.999] {
        let y = dropout(&x, p, 3)?.to_vec::<f32>()?;
        let dropped = y.iter().filter(|y| **y == 0.0).count() as f64 / 1e5;
        assert!((dropped - p).abs() < 4.0 * (p * (1.0 - p) / 1e5).sqrt(), "{dropped} of {p}");
        let mean = y.iter().map(|y| f64::from(*y)).sum::<f64>() / 1e5;
        assert!((mean - 1.0).abs() < 4.0 * (p / (1.0 - p) / 1e5).sqrt(), "a mean of {mean} for {p}");
    }
    assert_ne!(dropout(&x, 0.5, 3)?.to_vec::<f32>()?, dropout(&x, 0.5, 4)?.to_vec::<f32>()?);
    Ok(())
}

#[test]
fn no_probability_changes_nothing_and_an_impossible_one_is_an_error() -> Result<()> {
    let x = noise(&[10], 1);
    assert_eq!(dropout(&x, 0.0, 1)?.to_vec::<f64>()?, x.to_vec::<f64>()?);
    for p in [1.0, -0.1, f64::NAN] {
        assert!(told(dropout(&x, p, 1)).contains("[0, 1)"));
    }
    Ok(())
}

#[test]
fn what_is_dropped_is_multiplied_by_zero_as_in_pytorch() -> Result<()> {
    let y = dropout(Tensor::full(f32::INFINITY, &[64])?, 0.5, 1)?.to_vec::<f32>()?;
    assert!(y.iter().any(|y| y.is_nan()) && y.iter().all(|y| y.is_nan() || *y == f32::INFINITY));
    Ok(())
}
