//! Convolutions on a GPU: which kernel computes what, and its launches.
//!
//! | module | what |
//! |---|---|
//! | `geometry` | axes and divisors as the kernels take them |
//! | `tile` | the tiles that the kernels are compiled for, and the choice among them |
//! | `sums` | sums into voxels: the convolution, its data gradient, the transposed convolution |
//! | `matrix_sums` | the same on the tensor cores |
//! | `hopper` | the same for wide layers on Hopper |
//! | `swap` | the exchange of the two channels of weights |
//! | `weight_gradient` | sums into taps, in parts of the voxels that are added up in their order |
//!
//! Each kernel adds up a sum in one order whatever the tile, and parts depend on the shapes alone: results are the same bits
//! each time on one device. Which kernel computes a sum depends on the device, on its instructions and on how many
//! multiprocessors there are to keep busy, so the last bits on another one may differ.

mod geometry;
mod hopper;
mod matrix_sums;
mod sums;
mod swap;
mod tile;
mod weight_gradient;

pub(super) use sums::{Operands, sum};
pub(super) use weight_gradient::{Order, weight_gradient};

use super::{
    geometry::{Axis, Direction},
    precision::Precision,
};
use cellseg_core::{DType, cuda::Cuda};
use geometry::MASKED_TAPS;

/// How a kernel multiplies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Algorithm {
    /// On the tensor cores: 16-bit numbers as they are, f32 rounded to tf32; sums in f32.
    Matrix,
    /// In f32, number by number.
    Plain,
}

/// What the choice of an algorithm depends on.
struct Demand<'a> {
    dtype: DType,
    precision: Precision,
    axes: &'a [Axis; 3],
    /// The channels of both operands.
    channels: [usize; 2],
    /// Voxels of both ends of the links, of the whole batch.
    voxels: [usize; 2],
}

impl Demand<'_> {
    fn algorithm(&self, device: &Cuda) -> Algorithm {
        // The kernels copy 16 bytes of channels at a time, keep the taps that reach a voxel in one register, and count
        // voxels, to the end of the last tile, and weights of a tap in 31 bits.
        let chunk = 16 / self.dtype.size();
        let whole = self.channels.iter().all(|&c| c > 0 && c.is_multiple_of(chunk));
        let masked = self.axes.iter().all(|a| a.kernel <= MASKED_TAPS);
        let small = |n: usize| n < i32::MAX as usize - 512;
        let [a, b] = self.channels;
        let counted = self.voxels.into_iter().all(small) && small(a.saturating_mul(b));
        let exact = self.dtype == DType::F32 && self.precision == Precision::Strict;
        if device.capability() >= (8, 0) && whole && masked && counted && !exact {
            Algorithm::Matrix
        } else {
            Algorithm::Plain
        }
    }
}

/// Voxels of both ends of the links: those that are written in this direction, and those that are read.
fn voxels(batch: usize, axes: &[Axis; 3], direction: Direction) -> [usize; 2] {
    [direction, direction.reversed()].map(|d| batch * axes.iter().map(|a| a.outputs(d)).product::<usize>())
}
