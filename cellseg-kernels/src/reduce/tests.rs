use super::{cases::CASES, *};
use crate::pointwise::checks::{check, told};
use cellseg_core::testing::noise;
use ndarray::{ArrayD, Axis};

fn expected(dims: &[usize], axes: &[usize], x: &[f64]) -> (Vec<f64>, f64) {
    let mut array = ArrayD::from_shape_vec(dims, x.to_vec()).unwrap();
    let mut axes = axes.to_vec();
    axes.sort_unstable();
    for axis in axes.iter().rev() {
        array = array.sum_axis(Axis(*axis));
    }
    (array.into_iter().collect(), axes.iter().map(|a| dims[*a] as f64).product())
}

#[test]
fn sums_and_means_over_axes_agree_with_plain_loops() {
    for (dims, axes) in CASES {
        let x = noise(dims, 1);
        check(
            std::slice::from_ref(&x),
            1e-6,
            |v| sum_axes(&v[0], axes, false),
            |v| expected(dims, axes, &v[0]).0,
        );
        check(
            &[x],
            1e-6,
            |v| mean_axes(&v[0], axes, true),
            |v| {
                let (sums, count) = expected(dims, axes, &v[0]);
                sums.iter().map(|s| s / count).collect()
            },
        );
    }
}

#[test]
fn sums_and_means_of_everything_agree_with_plain_loops() {
    for (dims, _) in CASES {
        check(&[noise(dims, 1)], 1e-6, |v| sum(&v[0]), |v| vec![v[0].iter().sum()]);
        let mean_of = |v: &[Vec<f64>]| vec![v[0].iter().sum::<f64>() / v[0].len() as f64];
        check(&[noise(dims, 1)], 1e-6, |v| mean(&v[0]), mean_of);
    }
}

#[test]
fn axes_are_kept_with_extent_one_or_dropped() -> Result<()> {
    let x = noise(&[2, 3, 5], 1);
    assert_eq!(sum_axes(&x, &[2, 0], true)?.shape().dims(), [1, 3, 1]);
    assert_eq!(sum_axes(&x, &[2, 0], false)?.shape().dims(), [3]);
    assert_eq!(sum(&x)?.shape().rank(), 0);
    Ok(())
}

#[test]
fn a_long_sum_in_single_precision_loses_nothing() -> Result<()> {
    // Plain single precision would stop at 2^24.
    let x = Tensor::full(1.0f32, &[(1 << 24) + 1000])?;
    assert_eq!(mean(&x)?.item()?, 1.0);
    assert_eq!(sum(&x.reshape(&[1, (1 << 24) + 1000])?)?.item()?, f64::from(((1 << 24) + 1000) as f32));
    Ok(())
}

#[test]
fn nothing_sums_to_zero_and_has_no_mean() -> Result<()> {
    let x = noise(&[0, 4], 1);
    assert_eq!(sum(&x)?.item()?, 0.0);
    assert!(mean(&x)?.item()?.is_nan());
    assert_eq!(sum_axes(&x, &[0], false)?.to_vec::<f64>()?, [0.0; 4]);
    assert_eq!(sum_axes(&x, &[1], false)?.shape().dims(), [0]);
    Ok(())
}

#[test]
fn an_axis_that_is_not_there_or_named_twice_is_an_error() {
    let x = noise(&[2, 3], 1);
    assert!(told(sum_axes(&x, &[2], true)).contains("below 2"));
    assert!(told(mean_axes(&x, &[1, 1], true)).contains("named once"));
}
