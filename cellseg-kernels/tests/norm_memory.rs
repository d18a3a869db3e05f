//! What a normalisation keeps. The counters are those of the whole process, so this file holds one test.

use cellseg_core::{DType, Result, Tape, Tensor, memory, testing::noise};
use cellseg_kernels::{
    dropout::Dropout,
    norm::{Norm, Order, norm},
    pointwise::Activation,
};

#[test]
fn inference_overwrites_what_is_given_away_and_training_keeps_one_bit_a_number_beside_it() -> Result<()> {
    let single = |dims: &[usize], seed| noise(dims, seed).cast(DType::F32);
    let (x, gamma, beta) = (single(&[1, 16, 16, 16, 32], 1)?, single(&[32], 2)?, single(&[32], 3)?);
    let bytes = 4 * x.shape().count();
    for order in [Order::NormFirst, Order::NormLast] {
        let dropout = Some(Dropout { p: 0.65, key: 1 });
        let settings = Norm { activation: Activation::Relu, dropout, order, ..Norm::groups(4) };
        let expected = norm(&x, &gamma, &beta, None, &settings)?.to_vec::<f32>()?;
        let mut given = Tensor::from_slice(x.as_slice::<f32>()?, x.shape().dims())?;
        let place = given.as_mut_slice::<f32>()?.as_ptr();
        let y = norm(given, &gamma, &beta, None, &settings)?;
        assert_eq!((y.as_slice::<f32>()?.as_ptr(), y.to_vec::<f32>()?), (place, expected));
        let (tape, given) = (Tape::new(), Tensor::from_slice(x.as_slice::<f32>()?, x.shape().dims())?);
        let before = memory::stats().live;
        let y = norm(given.trainable().on(&tape), &gamma, &beta, None, &settings)?;
        let beside = memory::stats().live - before - bytes;
        assert!(beside <= bytes / 32 + 1024, "{beside} bytes beside input and output of {bytes}");
        drop(y);
    }
    Ok(())
}
