use super::{
    cases::{CASES, PICKS},
    *,
};
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

#[test]
fn blocks_are_picked_and_gradients_return_to_each_place_they_were_picked_from() {
    for (leading, width, count, picks) in PICKS {
        let x = noise(&[leading, &[width * count][..]].concat(), 1);
        let rows = leading.iter().product::<usize>();
        let expected = |v: &[Vec<f64>]| {
            let at = |r: usize, block: usize| &v[0][(r * count + block) * width..][..*width];
            (0..rows).flat_map(|r| picks.iter().flat_map(move |&b| at(r, b))).copied().collect()
        };
        // Gradients of a block that is picked twice are added up.
        check(&[x], 1e-7, |v| pick_blocks(&v[0], *width, picks), expected);
    }
}

#[test]
fn blocks_that_are_not_there_are_an_error() {
    let x = noise(&[2, 6], 1);
    let why = told(pick_blocks(&x, 2, &[0, 3]));
    assert!(why.contains("[2, 6]") && why.contains("at least 4"), "{why}");
    assert!(pick_blocks(&x, 4, &[0]).is_err());
    assert!(pick_blocks(&x, 0, &[]).is_err());
    assert!(pick_blocks(&noise(&[], 1), 1, &[0]).is_err());
}
