//! Inputs that a peer in another language makes too, bit by bit.

use super::{Result, place::place};
use cellseg_core::Tensor;

/// Noise between -1/2 and 1/2, a function of the place in memory and of `seed`, where and in the type in which cases run.
pub(crate) fn noise(dims: &[usize], seed: u32) -> Result<Tensor> {
    place().numbers(&on_host(dims, seed)?)
}

/// The same in `f32`, for what is never computed in another type.
pub(crate) fn single(dims: &[usize], seed: u32) -> Result<Tensor> {
    Ok(on_host(dims, seed)?.to(&place().device)?)
}

fn on_host(dims: &[usize], seed: u32) -> Result<Tensor> {
    Ok(Tensor::build(dims, |xs: &mut [f32]| {
        xs.iter_mut().zip(0u32..).for_each(|(x, i)| *x = hash(i, seed) as f32 / (1u32 << 24) as f32 - 0.5);
        Ok(())
    })?)
}

/// 24 bits: the finaliser of MurmurHash3 (Appleby, public domain) over a counter.
fn hash(i: u32, seed: u32) -> u32 {
    let mut z = i.wrapping_add(seed.wrapping_mul(0x9E37_79B9));
    z = (z ^ (z >> 16)).wrapping_mul(0x85EB_CA6B);
    z = (z ^ (z >> 13)).wrapping_mul(0xC2B2_AE35);
    (z ^ (z >> 16)) >> 8
}
