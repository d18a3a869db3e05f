use super::{cases::SHAPES, *};
use crate::pointwise::checks::{check, told};
use cellseg_core::testing::noise;

fn mean(pairs: &[Vec<f64>], f: impl Fn(f64, f64) -> f64) -> Vec<f64> {
    let sum: f64 = pairs[0].iter().zip(&pairs[1]).map(|(x, t)| f(*x, *t)).sum();
    vec![sum / pairs[0].len() as f64]
}

#[test]
fn losses_are_the_means_of_their_formulas() {
    for dims in SHAPES {
        let pair = [noise(dims, 1), noise(dims, 2)];
        check(&pair, 5e-6, |v| mse(&v[0], &v[1]), |v| mean(v, |x, t| (x - t).powi(2)));
        let cross_entropy = |x: f64, t: f64| {
            let p = 1.0 / (1.0 + (-x).exp());
            -t * p.ln() - (1.0 - t) * (1.0 - p).ln()
        };
        check(&pair, 5e-6, |v| bce_with_logits(&v[0], &v[1]), |v| mean(v, cross_entropy));
    }
}

#[test]
fn certain_logits_neither_overflow_nor_vanish() -> Result<()> {
    let x = Tensor::from_slice(&[200.0f32, -200.0], &[2])?;
    let (right, wrong) =
        (Tensor::from_slice(&[1.0f32, 0.0], &[2])?, Tensor::from_slice(&[0.0f32, 1.0], &[2])?);
    assert_eq!(bce_with_logits(&x, &right)?.item()?, 0.0);
    assert_eq!(bce_with_logits(&x, &wrong)?.item()?, 200.0);
    Ok(())
}

#[test]
fn what_is_not_a_number_reaches_the_loss() -> Result<()> {
    let x = Tensor::from_slice(&[1.0f32, f32::NAN], &[2])?;
    let t = Tensor::full(0.5f32, &[2])?;
    assert!(mse(&x, &t)?.item()?.is_nan() && bce_with_logits(&x, &t)?.item()?.is_nan());
    assert!(mse(&noise(&[0], 1), &noise(&[0], 1))?.item()?.is_nan());
    Ok(())
}

#[test]
fn shapes_that_differ_are_an_error() {
    assert!(told(mse(&noise(&[2, 3], 1), &noise(&[6], 1))).contains("[2, 3] and [6]"));
    assert!(told(bce_with_logits(&noise(&[2], 1), &noise(&[1], 1))).contains("bce_with_logits"));
}
