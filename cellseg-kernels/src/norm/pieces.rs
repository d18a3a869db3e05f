//! How an array of samples is cut into pieces of work.
//!
//! A piece holds whole rows of channels of one sample. The pieces depend on the shape only, and what is computed per
//! piece is put together in their order, so that results do not depend on the number of threads.

use crate::{dropout::mask, pointwise::chunks::whole_rows};
use cellseg_core::{Real, Result, Tensor};
use rayon::prelude::*;
use std::ops::Range;

/// The extents of an array `[samples, rows, channels]` and its pieces.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pieces {
    pub(super) samples: usize,
    pub(super) rows: usize,
    pub(super) channels: usize,
}

/// A piece: what it belongs to and where it lies.
#[derive(Debug, Clone)]
pub(super) struct Place {
    pub(super) sample: usize,
    pub(super) numbers: Range<usize>,
}

impl Pieces {
    /// Of `[n, .., c]`.
    pub(super) fn of(dims: &[usize]) -> Self {
        let (samples, channels) = (dims[0], dims[dims.len() - 1]);
        Pieces { samples, rows: dims[1..dims.len() - 1].iter().product(), channels }
    }

    /// Numbers of one sample.
    fn sample(&self) -> usize {
        self.rows * self.channels
    }

    /// Numbers of the largest piece.
    fn size(&self) -> usize {
        whole_rows(self.channels).min(self.sample())
    }

    /// How many pieces a sample has.
    pub(super) fn per_sample(&self) -> usize {
        self.sample().div_ceil(whole_rows(self.channels))
    }

    pub(super) fn places(&self) -> impl Iterator<Item = Place> {
        let this = *self;
        (0..self.samples * self.per_sample()).map(move |i| {
            let (sample, piece) = (i / this.per_sample(), i % this.per_sample());
            let (first, size) = (sample * this.sample(), whole_rows(this.channels));
            let numbers = first + piece * size..first + this.sample().min((piece + 1) * size);
            Place { sample, numbers }
        })
    }

    /// The pieces of an array.
    pub(super) fn split<'a, X>(&self, mut xs: &'a mut [X]) -> Vec<&'a mut [X]> {
        let cut = |place: Place| xs.split_off_mut(..place.numbers.len()).unwrap_or_default();
        self.places().map(cut).collect()
    }

    /// Blocks of the mask of one piece.
    fn blocks(&self) -> usize {
        self.size().div_ceil(mask::BLOCK)
    }

    /// Room for the mask of each piece.
    pub(super) fn masks(&self) -> Result<Tensor> {
        let words = size_of::<mask::Block>() / size_of::<i32>();
        Tensor::build(&[self.samples * self.per_sample(), self.blocks(), words], |_: &mut [i32]| Ok(()))
    }

    /// The mask of piece `i` of those that [`Pieces::masks`] made room for.
    pub(super) fn mask_of<'a>(&self, i: usize, masks: &'a [i32]) -> &'a [mask::Block] {
        let (blocks, _) = masks.as_chunks();
        if blocks.is_empty() { &[] } else { &blocks[i * self.blocks()..][..self.blocks()] }
    }

    /// The masks of all pieces, to draw them; of no blocks where there are no `masks`.
    pub(super) fn split_masks<'a>(&self, masks: &'a mut [i32]) -> Vec<&'a mut [mask::Block]> {
        let (mut blocks, _) = masks.as_chunks_mut();
        let cut = |_| blocks.split_off_mut(..self.blocks()).unwrap_or_default();
        self.places().map(cut).collect()
    }

    /// What `f` makes of each place with its part of some array, and with as many numbers as the largest piece has to
    /// work with, in order.
    pub(super) fn map<T: Real, P: Send, R: Send>(
        &self,
        parts: Vec<P>,
        f: impl Fn(usize, Place, P, &mut [T]) -> R + Sync,
    ) -> Vec<R> {
        let work: Vec<_> = self.places().zip(parts).enumerate().collect();
        let scratch = || vec![T::zero(); self.size()];
        let run = |scratch: &mut Vec<T>, (i, (place, part)): (usize, (Place, P))| {
            let count = place.numbers.len();
            f(i, place, part, &mut scratch[..count])
        };
        if work.len() == 1 {
            // Not worth waking a thread.
            let mut scratch = scratch();
            return work.into_iter().map(|work| run(&mut scratch, work)).collect();
        }
        work.into_par_iter().map_init(scratch, run).collect()
    }
}
