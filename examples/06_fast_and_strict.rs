//! Tutorial 6: what is a convolution's speed bought with?
//!
//! Convolutions of 3 x 3 x 3 are computed by Winograd's algorithm where that is faster: an eighth of the multiplications for
//! the same sums, put together in another way. `Precision::Strict` keeps to the definition.
//!
//!     cargo run --release --example 06_fast_and_strict

use cellseg::{
    core::{Error, Rng, Tensor},
    kernels::conv3d::{Conv3d, Precision, conv3d},
};
use std::time::Instant;

const CHANNELS: usize = 64;
const EDGE: usize = 32;

fn noise(dims: &[usize], rng: &mut Rng) -> Vec<f64> {
    (0..dims.iter().product()).map(|_| rng.uniform() - 0.5).collect()
}

fn main() -> Result<(), Error> {
    let mut rng = Rng::new(0);
    let (volumes, taps) = ([1, EDGE, EDGE, EDGE, CHANNELS], [3, 3, 3, CHANNELS, CHANNELS]);
    let (x, w) = (noise(&volumes, &mut rng), noise(&taps, &mut rng));

    // The truth: the same sums in double precision.
    let settings = |precision| Conv3d { precision, ..Conv3d::same(3) };
    let exact = conv3d(
        &Tensor::from_slice(&x, &volumes)?,
        &Tensor::from_slice(&w, &taps)?,
        None,
        &settings(Precision::Strict),
    )?
    .to_vec::<f64>()?;
    let size = exact.iter().map(|e| e * e).sum::<f64>().sqrt();

    let single = |xs: &[f64], dims: &[usize]| {
        let xs: Vec<f32> = xs.iter().map(|&x| x as f32).collect();
        Tensor::from_slice(&xs, dims)
    };
    let (x, w) = (single(&x, &volumes)?, single(&w, &taps)?);
    for precision in [Precision::Strict, Precision::Fast] {
        // The first call also prepares the kernel's weights, which are kept for the next ones.
        conv3d(&x, &w, None, &settings(precision))?;
        let start = Instant::now();
        let y = conv3d(&x, &w, None, &settings(precision))?;
        let seconds = start.elapsed().as_secs_f64();
        let y = y.to_vec::<f32>()?;
        let distance = y.iter().zip(&exact).map(|(y, e)| (f64::from(*y) - e).powi(2)).sum::<f64>().sqrt();
        println!("{precision:?}: {:5.1} ms, relative error {:.1e}", seconds * 1e3, distance / size);
        assert!(distance / size < 2e-5);
    }
    Ok(())
}
