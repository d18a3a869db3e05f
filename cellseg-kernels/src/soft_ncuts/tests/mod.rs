//! Facts about the loss. Truth comes from CellSeg3D, from PyTorch, and from loops over all pairs in double precision.

mod mistakes;
mod numbers;
mod properties;
mod reference;
mod truth;

use super::{Form, SoftNCuts, cases::Case, soft_ncuts};
use cellseg_core::{DType, Result, Tape, Tensor, testing::noise};

const FORMS: [Form; 2] = [Form::Approximate, Form::Exact];

/// Probabilities that add up to one, and an image of normally distributed numbers, in double precision.
fn random(case: &Case, seed: u64) -> [Tensor; 2] {
    let odds: Vec<f64> =
        noise(&case.probabilities(), seed).to_vec::<f64>().unwrap().iter().map(|x| x.exp()).collect();
    let p: Vec<f64> = odds
        .chunks(case.classes)
        .flat_map(|voxel| {
            let sum: f64 = voxel.iter().sum();
            voxel.iter().map(move |x| x / sum)
        })
        .collect();
    let image: Vec<f64> =
        noise(&case.image(), seed + 1).to_vec::<f64>().unwrap().iter().map(|x| x * case.contrast).collect();
    [
        Tensor::from_slice(&p, &case.probabilities()).unwrap(),
        Tensor::from_slice(&image, &case.image()).unwrap(),
    ]
}

/// The loss and the gradient of the probabilities, in the inputs' type.
fn loss_and_gradient(p: &Tensor, image: &Tensor, settings: &SoftNCuts) -> Result<(f64, Tensor)> {
    let tape = Tape::new();
    let p = p.clone().trainable();
    let loss = soft_ncuts(&p.on(&tape), image, settings)?;
    let mut gradients = tape.backward(&loss)?;
    Ok((loss.item()?, gradients.take(&p).expect("the probabilities are trainable")))
}

/// `t` in another type and back.
fn rounded(t: &Tensor, dtype: DType) -> [Tensor; 2] {
    let narrow = t.cast(dtype).unwrap();
    [narrow.cast(DType::F64).unwrap(), narrow]
}

/// Runs `f` with so many threads.
fn with_threads<R: Send>(threads: usize, f: impl FnOnce() -> R + Send) -> R {
    rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap().install(f)
}
