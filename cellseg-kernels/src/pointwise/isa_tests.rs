//! Operations that are compiled for each instruction set give the same bits with all of them.
//!
//! The set is chosen once per process, so the bits come from this test program run again with another choice.

use super::*;
use crate::{
    dropout::{Dropout, dropout},
    loss::bce_with_logits,
    norm::{Norm, Order, group_norm, layer_norm, norm},
    pool::max_pool3d,
    resample::{Interpolation, resize},
    simd::Isa,
    softmax::softmax,
};
use cellseg_core::{DType, Tape, testing::noise};

/// Set in the runs that print; see [`Isa::best`].
const CHOICE: &str = "CELLSEG_ISA";
const PREFIX: &str = "bits of all results: ";

#[test]
fn every_instruction_set_gives_the_same_bits() {
    let program = std::env::current_exe().expect("this test program");
    let bits = |isa: &Isa| {
        let output = std::process::Command::new(&program)
            .args(["--exact", "pointwise::isa_tests::prints_its_bits", "--ignored", "--nocapture"])
            .env(CHOICE, isa.name())
            .output()
            .expect("a run of this test program");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let at = text.find(PREFIX).unwrap_or_else(|| panic!("no bits in {text}"));
        text[at + PREFIX.len()..].split_whitespace().next().map(str::to_string)
    };
    let all: Vec<_> = Isa::available().iter().map(bits).collect();
    assert!(all.iter().all(|b| b.is_some() && *b == all[0]), "{:?}: {all:?}", Isa::available());
}

#[test]
#[ignore = "run by every_instruction_set_gives_the_same_bits"]
fn prints_its_bits() -> Result<()> {
    let single = |dims: &[usize], seed| noise(dims, seed).cast(DType::F32);
    let (x, t) = (single(&[1, 7, 9, 11, 17], 1)?, single(&[1, 7, 9, 11, 17], 2)?);
    let (gamma, beta) = (single(&[17], 3)?, single(&[17], 4)?);
    let short = single(&[500, 3], 5)?;
    type Row<'a> = (&'a [&'a Tensor], fn(&[Tensor]) -> Result<Tensor>);
    let table: [Row<'_>; 12] = [
        (&[&x], |v| elu(&v[0], 1.5)),
        (&[&x], |v| gelu(&v[0])),
        (&[&x], |v| sigmoid(&v[0])),
        (&[&x], |v| dropout(&v[0], 0.3, 5)),
        (&[&x, &gamma, &beta], |v| group_norm(&v[0], &v[1], &v[2], 17, 1e-5)),
        (&[&x, &gamma, &beta], |v| {
            let dropout = Some(Dropout { p: 0.3, key: 5 });
            let (activation, order) = (Activation::Elu(1.5), Order::NormLast);
            norm(&v[0], &v[1], &v[2], None, &Norm { activation, dropout, order, ..Norm::groups(17) })
        }),
        (&[&x], |v| resize(&v[0], [9, 5, 23], Interpolation::Trilinear { align_corners: false })),
        (&[&x, &gamma, &beta], |v| layer_norm(&v[0], &v[1], &v[2], 1e-5)),
        (&[&x], |v| softmax(&v[0])),
        (&[&short], |v| softmax(&v[0])),
        (&[&x], |v| max_pool3d(&v[0], [2; 3])),
        (&[&x, &t], |v| bce_with_logits(&v[0], &v[1])),
    ];
    // The hash of Fowler, Noll and Vo.
    let mut hash = 0xcbf2_9ce4_8422_2325u64;
    for (inputs, f) in table {
        let tape = Tape::new();
        let inputs: Vec<Tensor> = inputs.iter().map(|x| (*x).clone().trainable().on(&tape)).collect();
        let y = f(&inputs)?;
        let grads = tape.backward_from(&y, single(y.shape().dims(), 6)?)?;
        for t in std::iter::once(&y).chain(inputs.iter().filter_map(|x| grads.get(x))) {
            for x in t.to_vec::<f32>()? {
                hash = (hash ^ u64::from(x.to_bits())).wrapping_mul(0x100_0000_01b3);
            }
        }
    }
    println!("{PREFIX}{hash:016x}");
    Ok(())
}
