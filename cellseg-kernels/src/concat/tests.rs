use super::{cases::CASES, *};
use crate::pointwise::checks::{check, told};
use cellseg_core::{Tape, testing::noise};

#[test]
fn channels_follow_each_other_and_gradients_are_cut_apart() {
    for (leading, channels) in CASES {
        let inputs: Vec<Tensor> =
            channels.iter().map(|c| noise(&[leading, &[*c][..]].concat(), *c as u64)).collect();
        let rows = leading.iter().product::<usize>();
        let expected = |v: &[Vec<f64>]| {
            let row = |r: usize| v.iter().zip(channels).flat_map(move |(x, c)| &x[r * c..(r + 1) * c]);
            (0..rows).flat_map(row).copied().collect()
        };
        check(&inputs, 0.0, |v| concat([&v[0], &v[1], &v[2]]), expected);
    }
}

#[test]
fn only_the_gradients_that_are_wanted_are_cut_out() -> Result<()> {
    let tape = Tape::new();
    let (a, b) = (noise(&[2, 3], 1), noise(&[2, 1], 2).trainable().on(&tape));
    let y = concat([&a, &b])?;
    let grad = Tensor::from_slice(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0], &[2, 4])?;
    let grads = tape.backward_from(&y, grad)?;
    assert_eq!(grads.get(&b).map(|g| g.to_vec::<f64>()).transpose()?, Some(vec![4.0, 8.0]));
    assert!(grads.get(&a).is_none());
    Ok(())
}

#[test]
fn tensors_that_do_not_fit_are_an_error() {
    let why = told(concat([&noise(&[2, 3, 1], 1), &noise(&[3, 2, 1], 1)]));
    assert!(why.contains("[2, 3, 1]") && why.contains("[3, 2, 1]"), "{why}");
    assert!(concat([&noise(&[], 1)]).is_err());
    assert!(concat([&noise(&[2], 1), &noise(&[1, 2], 1)]).is_err());
}
