use super::{
    cases::{SHAPES, TOLERANCE},
    *,
};
use crate::pointwise::checks::{check, told};
use cellseg_core::{DType, testing::noise};

fn expected(x: &[f64], c: usize) -> Vec<f64> {
    x.chunks(c)
        .flat_map(|row| {
            let sum: f64 = row.iter().map(|x| x.exp()).sum();
            row.iter().map(move |x| x.exp() / sum)
        })
        .collect()
}

#[test]
fn rows_are_exponentials_over_their_sum() {
    for dims in SHAPES {
        let c = dims[dims.len() - 1];
        check(&[noise(dims, 1)], TOLERANCE, |v| softmax(&v[0]), |v| expected(&v[0], c));
        let logarithms = |v: &[Vec<f64>]| expected(&v[0], c).iter().map(|y| y.ln()).collect();
        check(&[noise(dims, 1)], TOLERANCE, |v| log_softmax(&v[0]), logarithms);
    }
}

#[test]
fn large_numbers_neither_overflow_nor_vanish() -> Result<()> {
    for c in [3, 20] {
        let mut row = vec![-1e30f32; c];
        row[1] = 1e30;
        row[2] = 1e30;
        let x = Tensor::from_slice(&row, &[1, c])?;
        let mut expected = vec![0.0; c];
        expected[1] = 0.5;
        expected[2] = 0.5;
        assert_eq!(softmax(&x)?.to_vec::<f32>()?, expected);
        let y = log_softmax(Tensor::from_slice(&[0.0f32, -500.0], &[2])?)?;
        assert_eq!(y.to_vec::<f32>()?, [0.0, -500.0]);
    }
    Ok(())
}

#[test]
fn a_row_with_an_infinity_or_without_a_number_is_lost_and_no_other() -> Result<()> {
    for c in [2, 11] {
        for bad in [f32::NAN, f32::INFINITY] {
            for at in 0..c {
                let mut x = noise(&[20, c], 1).cast(DType::F32)?;
                x.as_mut_slice::<f32>()?[3 * c + at] = bad;
                let y = softmax(&x)?.to_vec::<f32>()?;
                for (i, row) in y.chunks(c).enumerate() {
                    assert_eq!(row.iter().all(|y| y.is_nan()), i == 3, "{bad} at {at} of {c}");
                }
            }
        }
        let mut row = vec![0.0f32; c];
        row[0] = f32::NEG_INFINITY;
        assert_eq!(softmax(Tensor::from_slice(&row, &[c])?)?.to_vec::<f32>()?[0], 0.0);
        let none = softmax(Tensor::full(f32::NEG_INFINITY, &[c])?)?;
        assert!(none.to_vec::<f32>()?.iter().all(|y| y.is_nan()));
    }
    Ok(())
}

#[test]
fn a_number_without_axes_is_an_error_and_no_rows_pass_through() -> Result<()> {
    assert!(told(softmax(noise(&[], 1))).contains("no channels"));
    assert_eq!(softmax(noise(&[0, 2], 1))?.shape().dims(), [0, 2]);
    assert_eq!(softmax(noise(&[2, 0], 1))?.shape().dims(), [2, 0]);
    Ok(())
}
