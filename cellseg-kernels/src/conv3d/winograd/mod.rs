//! Winograd's convolution with kernels of three taps per axis and stride 1.
//!
//! Outputs are cut into tiles of 2 or 4 voxels per axis. What a tile reads is transformed ([`analysis`]): at each of its
//! points the convolution is then a product of channels with the kernel's value there, which for all tiles together is a
//! matrix product ([`product`]); the results are transformed back ([`synthesis`]). For tiles of 4 x 4 x 4 outputs there are
//! 216 points, an eighth of the 1728 multiplications that the definition asks for; for 2 x 2 x 2, 64 instead of 216.
//! [`maps`] has the transforms, with their sources; `weight_gradient` does the same for sums into taps.
//!
//! Tiles are worked on in blocks. Where a kernel has few values at the points, a block is as many tiles as the
//! second-level cache holds, threads take blocks, and all values of the kernel pass by once per block. Where there are
//! more than a third-level cache holds, that passing by would take longer than the products: then, and where there are few
//! tiles, blocks are larger, and threads share each stage of a block. Each output is a sum in a fixed order either way, so
//! that the result does not depend on the number of threads.
//!
//! What the time goes to, for 64 channels at 64^3 on a Zen 5 core with AVX-512: of 47 ms, the products of the forward pass
//! take 25, which is their floor (3.6 GFMA at 142 GFMA/s), the transform of the inputs 10, that of the outputs 5, gathering the
//! inputs of a point the rest. Of 50 ms of the weight gradient, the products take 27; both transforms and the passing
//! by of 3.5 MB of sums per block of tiles the rest. `benches/README.md` has the comparison with PyTorch.

mod analysis;
mod choice;
mod fetch;
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
use crate::{scratch::Scratch, simd::Isa};
use analysis::{Analysis, Slots, Volumes};
use cellseg_core::{Real, Result};
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

/// Bytes of values of a block that a thread takes: most of a second-level cache of 1 MiB.
const RESIDENT: usize = 3 << 18;

/// Tiles of a block are whole multiples of the rows of the largest register tile. Where so few do not stay in the cache,
/// more of them would not be faster.
const ROWS: usize = 12;

/// Bytes of transformed weights that each thread may read once per block: what a third-level cache holds.
const STREAMED: usize = 24 << 20;

/// The fewest blocks that threads can share evenly.
const TASKS: usize = 16;

/// Tiles of a block that threads share.
const SHARED: usize = 64;

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
    let job = Job::new(isa, problem, x, weights, epilogue, out);
    job.run(job.blocks())
}

/// A convolution, and its stages.
struct Job<'a, T> {
    isa: Isa,
    tiling: Tiling,
    volumes: Volumes<'a, T>,
    /// Numbers that a tile has at each point: inputs first, and then outputs.
    slot: usize,
    weights: &'a Transformed<T>,
    epilogue: Epilogue<'a, T>,
    out: Shared<'a, T>,
}

impl<'a, T: Real> Job<'a, T> {
    fn new(
        isa: Isa,
        problem: &Problem,
        x: &'a [T],
        weights: &'a Transformed<T>,
        epilogue: Epilogue<'a, T>,
        out: &'a mut [T],
    ) -> Self {
        let layout = weights.layout;
        let outputs = problem.axes.map(|a| a.outputs(problem.direction));
        let volumes = Volumes {
            data: x,
            extents: problem.axes.map(|a| a.inputs(problem.direction)),
            channels: problem.input_channels,
            read: (0, problem.input_channels),
            origin: problem.axes.map(|a| match problem.direction {
                Direction::ToCoarse => -(a.padding as isize),
                Direction::ToFine => a.padding as isize - (a.kernel as isize - 1),
            }),
        };
        Job {
            isa,
            tiling: Tiling::new(problem.batch, outputs, layout.m),
            volumes,
            slot: layout.inputs.max(layout.outputs).next_multiple_of(layout.lanes),
            weights,
            epilogue,
            out: Shared::new(out),
        }
    }

    /// Numbers of a tile.
    fn length(&self) -> usize {
        self.tiling.points() * self.slot
    }

    fn run(&self, blocks: Blocks) -> Result<()> {
        let (count, length) = (self.tiling.count(), self.length());
        let most = blocks.tiles.min(count);
        let blocks_of_tiles =
            (0..count.div_ceil(most.max(1))).into_par_iter().map(|i| i * most..((i + 1) * most).min(count));
        if !blocks.shared {
            return blocks_of_tiles.try_for_each(|tiles| {
                let mut values = Scratch::unspecified(most * length)?;
                self.analyse(tiles.clone(), &mut values);
                self.multiply(0..self.tiling.points(), tiles.len(), Shared::new(&mut values))?;
                self.synthesise(tiles, &values);
                Ok(())
            });
        }
        let mut values = Scratch::unspecified(most * length)?;
        for first in (0..count).step_by(most.max(1)) {
            let tiles = first..(first + most).min(count);
            let values = &mut values[..tiles.len() * length];
            values.par_chunks_mut(length).zip(tiles.clone()).for_each(|(v, t)| self.analyse(t..t + 1, v));
            let shared = Shared::new(values);
            let points = (0..self.tiling.points()).into_par_iter();
            points.try_for_each(|p| self.multiply(p..p + 1, tiles.len(), shared))?;
            values.par_chunks(length).zip(tiles).for_each(|(v, t)| self.synthesise(t..t + 1, v));
        }
        Ok(())
    }

    fn analyse(&self, tiles: Range<usize>, out: &mut [T]) {
        let Job { isa, ref tiling, volumes, slot, .. } = *self;
        let slots = Slots { length: slot, tile: self.length(), point: slot };
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

    /// How blocks are to be worked on.
    fn blocks(&self) -> Blocks {
        let fit = RESIDENT / (self.length() * size_of::<T>()).max(1);
        let tiles = (fit / ROWS).max(1) * ROWS;
        if self.weights.bytes() > STREAMED || self.tiling.count() < TASKS * tiles {
            return Blocks { tiles: SHARED, shared: true };
        }
        Blocks { tiles, shared: false }
    }
}
