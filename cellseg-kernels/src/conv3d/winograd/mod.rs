//! Winograd's convolution with kernels of three taps per axis and stride 1.
//!
//! Outputs are cut into tiles of 2 or 4 voxels per axis. What a tile reads is transformed ([`analysis`]): at each of its
//! points the convolution is then a product of channels with the kernel's value there, which for all tiles together is a
//! matrix product ([`product`]); the results are transformed back ([`synthesis`]). For tiles of 4 x 4 x 4 outputs there are
//! 216 points, an eighth of the 1728 multiplications that the definition asks for; for 2 x 2 x 2, 64 instead of 216.
//! [`maps`] has the transforms, with their sources.
//!
//! Tiles are worked on in blocks. Where a kernel has few values at the points, a block is as many tiles as the
//! second-level cache holds, threads take blocks, and all values of the kernel pass by once per block. Where there are
//! many, that passing by would take longer than the products: then blocks are larger, and threads share each stage of a
//! block. Each output is a sum in a fixed order either way, so that the result does not depend on the number of threads.

mod analysis;
mod choice;
mod maps;
mod product;
mod shared;
mod stage;
mod synthesis;
#[cfg(test)]
mod tests;
mod tiling;
mod weight_gradient;
mod weights;

use super::{
    direct::{Epilogue, Problem},
    geometry::Direction,
};
use crate::simd::Isa;
use analysis::{Analysis, Slots, Volumes};
use cellseg_core::{CpuBuffer, Real, Result};
pub(super) use choice::{fastest, fastest_weight_gradient};
use maps::Inputs;
use product::Products;
use rayon::prelude::*;
use shared::Shared;
use std::{marker::PhantomData, ops::Range};
use synthesis::Synthesis;
use tiling::Tiling;
pub(super) use weight_gradient::weight_gradient;
pub(super) use weights::Transformed;

/// Bytes of values of a block that threads take as a whole: most of a second-level cache of 1 MiB.
const RESIDENT: usize = 3 << 18;

/// How blocks are worked on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Blocks {
    tiles: usize,
    /// Whether threads share a block.
    shared: bool,
}

/// `out = sum over links of x * weights`, plus bias, through the activation: as [`super::direct::sum`].
pub(crate) fn sum<T: Real>(
    isa: Isa,
    problem: &Problem,
    x: &[T],
    weights: &Transformed<T>,
    epilogue: Epilogue<'_, T>,
    out: &mut [T],
) -> Result<()> {
    let layout = weights.layout;
    let outputs = problem.axes.map(|a| a.outputs(problem.direction));
    let tiling = Tiling::new(problem.batch, outputs, layout.m);
    let slot = layout.inputs.max(layout.outputs).next_multiple_of(layout.lanes);
    let length = layout.points() * slot;
    let blocks = blocks::<T>(length);
    let out = Shared::new(out);
    let job = Job { isa, tiling, volumes: volumes(problem, x), slot, weights, epilogue, out };
    let count = tiling.count();
    let block = |i: usize| i * blocks.tiles..((i + 1) * blocks.tiles).min(count);
    if blocks.shared {
        let mut values = CpuBuffer::new(T::DTYPE, blocks.tiles * length)?;
        let values = values.as_mut_slice::<T>().unwrap_or_default();
        for tiles in (0..count.div_ceil(blocks.tiles)).map(block) {
            let values = &mut values[..tiles.len() * length];
            values.par_chunks_mut(length).zip(tiles.clone()).for_each(|(v, t)| job.analyse(t..t + 1, v));
            let shared = Shared::new(values);
            (0..layout.points())
                .into_par_iter()
                .try_for_each(|p| job.multiply(p..p + 1, tiles.len(), shared))?;
            values.par_chunks(length).zip(tiles).for_each(|(v, t)| job.synthesise(t..t + 1, v));
        }
        return Ok(());
    }
    (0..count.div_ceil(blocks.tiles)).into_par_iter().map(block).try_for_each(|tiles| {
        let mut values = CpuBuffer::new(T::DTYPE, blocks.tiles * length)?;
        let values = values.as_mut_slice::<T>().unwrap_or_default();
        job.analyse(tiles.clone(), values);
        job.multiply(0..layout.points(), tiles.len(), Shared::new(values))?;
        job.synthesise(tiles, values);
        Ok(())
    })
}

/// What the sums read of `x`.
fn volumes<'a, T>(problem: &Problem, x: &'a [T]) -> Volumes<'a, T> {
    Volumes {
        data: x,
        extents: problem.axes.map(|a| a.inputs(problem.direction)),
        channels: problem.input_channels,
        read: (0, problem.input_channels),
        origin: problem.axes.map(|a| match problem.direction {
            Direction::ToCoarse => -(a.padding as isize),
            Direction::ToFine => a.padding as isize - (a.kernel as isize - 1),
        }),
    }
}

/// The stages of a convolution.
struct Job<'a, T> {
    isa: Isa,
    tiling: Tiling,
    volumes: Volumes<'a, T>,
    slot: usize,
    weights: &'a Transformed<T>,
    epilogue: Epilogue<'a, T>,
    out: Shared<'a, T>,
}

impl<T: Real> Job<'_, T> {
    fn analyse(&self, tiles: Range<usize>, out: &mut [T]) {
        let Job { isa, ref tiling, volumes, slot, .. } = *self;
        let slots = Slots { length: slot, tile: tiling.points() * slot, point: slot };
        isa.run(Analysis { tiling, volumes, tiles, out, slots, transform: PhantomData::<Inputs> });
    }

    fn multiply(&self, points: Range<usize>, tiles: usize, values: Shared<'_, T>) -> Result<()> {
        let Job { isa, slot, weights, .. } = *self;
        isa.run(Products { points, tiles, values, slot, weights })
    }

    fn synthesise(&self, tiles: Range<usize>, products: &[T]) {
        let Job { isa, ref tiling, slot, weights, epilogue: Epilogue { bias, activation }, out, .. } = *self;
        let channels = weights.layout.outputs;
        isa.run(Synthesis { tiling, tiles, products, slot, channels, bias, activation, out });
    }
}

/// How blocks of tiles with `length` values each are worked on.
fn blocks<T>(length: usize) -> Blocks {
    const STEP: usize = 12;
    let fit = RESIDENT / (length * size_of::<T>()).max(1);
    if fit >= STEP {
        return Blocks { tiles: fit / STEP * STEP, shared: false };
    }
    Blocks { tiles: 64, shared: true }
}
