//! From points to volumes: the transform of what a convolution has multiplied, with bias and activation.

use super::{
    fetch::fetch_box,
    maps::Outputs,
    shared::Shared,
    stage::{Place, Vectors, along, same},
    tiling::Tiling,
};
use crate::{
    pointwise::Activation,
    simd::{Lanes, Routine},
};
use cellseg_core::Real;
use std::{array::from_fn, ops::Range};

/// Transforms the products of some tiles and writes the outputs.
pub(super) struct Synthesis<'a, T> {
    pub(super) tiling: &'a Tiling,
    pub(super) tiles: Range<usize>,
    /// `[tile][point][slot]`, with the output channels first in a slot.
    pub(super) products: &'a [T],
    pub(super) slot: usize,
    pub(super) channels: usize,
    /// One for each output channel, or none.
    pub(super) bias: Option<&'a [T]>,
    pub(super) activation: Activation,
    /// `[n, d, h, w, c]`.
    pub(super) out: Shared<'a, T>,
}

impl<T: Real> Routine<T> for Synthesis<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<L: Lanes<Elem = T>>(self) {
        let Synthesis { slot, channels, .. } = self;
        let Tiling { outputs, m, .. } = *self.tiling;
        let points = self.tiling.extents();
        let length = self.tiling.points() * slot;
        assert!(self.products.len() >= self.tiles.len() * length && slot >= channels.next_multiple_of(L::N));
        assert!(self.bias.is_none_or(|b| b.len() == channels));
        let steps = [outputs[1] * outputs[2] * channels, outputs[2] * channels, channels];
        let volume_length = outputs[0] * steps[0];
        let relu = self.activation == Activation::Relu;
        // What is not a number stays that: the maximum returns its argument then.
        let floor = L::splat(if relu { T::zero() } else { T::neg_infinity() });
        let mut scratch = Vectors::<L>::new();
        let mut patch = Vectors::<L>::new();
        for (i, tile) in self.tiles.clone().enumerate() {
            let (volume, at) = self.tiling.get(tile);
            let inside: [usize; 3] = from_fn(|a| m[a].min(outputs[a] - at[a]));
            let start = volume * volume_length + (0..3).map(|a| at[a] * steps[a]).sum::<usize>();
            // The last number that is written: everything before it is in range, too.
            let reach = (0..3).map(|a| (inside[a] - 1) * steps[a]).sum::<usize>() + channels;
            assert!(start + reach <= self.out.len());
            let products = self.products[i * length..][..length].as_ptr().cast_mut();
            let following = self.tiling.get(tile + 1).1;
            let following = volume * volume_length + (0..3).map(|a| following[a] * steps[a]).sum::<usize>();
            for c in (0..channels).step_by(L::N) {
                fetch_box(self.out.at(following + c), steps, m.map(|m| 0..m));
                let bias = match self.bias {
                    Some(bias) => L::from_slice(&bias[c..]),
                    None => L::splat(T::zero()),
                };
                let from = Place {
                    start: products.wrapping_add(c),
                    steps: [points[1] * points[2] * slot, points[2] * slot, slot],
                };
                let direct = inside == m && c + L::N <= channels;
                let to = if direct { Place { start: self.out.at(start + c), steps } } else { patch.place() };
                let between = scratch.place();
                // SAFETY: the slots of all points of this tile are read from `products`; `between` and the patch have room
                // for all vectors of the largest tile; a direct target holds whole vectors of the whole tile, as asserted,
                // and no other task writes to the voxels of this tile.
                unsafe {
                    along::<L, Outputs>(0, m[0], [0, points[1], points[2]], from, between, same::<L>);
                    along::<L, Outputs>(1, m[1], [m[0], 0, points[2]], between, between, same::<L>);
                    along::<L, Outputs>(
                        2,
                        m[2],
                        [m[0], m[1], 0],
                        between,
                        to,
                        #[inline(always)]
                        |x| floor.max(x + bias),
                    );
                }
                if direct {
                    continue;
                }
                let lanes = L::N.min(channels - c);
                for z in 0..inside[0] {
                    for y in 0..inside[1] {
                        let row = start + z * steps[0] + y * steps[1] + c;
                        for (x, v) in patch.row(z, y).iter().enumerate().take(inside[2]) {
                            // SAFETY: channels of a voxel of this tile, which no other task writes to.
                            unsafe { v.store_first(self.out.at(row + x * channels), lanes) }
                        }
                    }
                }
            }
            if matches!(self.activation, Activation::None | Activation::Relu) {
                continue; // Nothing to do, or done in registers.
            }
            for z in 0..inside[0] {
                for y in 0..inside[1] {
                    let row = start + z * steps[0] + y * steps[1];
                    // SAFETY: a row of voxels of this tile, which no other task refers to.
                    self.activation.apply_all(unsafe { self.out.slice(row, inside[2] * channels) });
                }
            }
        }
    }
}
