//! What is dropped, as one bit for each number.

use super::Dropout;
use crate::pointwise::wide;
use cellseg_core::{Error, Result, philox_fill};

/// Numbers whose bits lie in one place of their words: so many that the compiler keeps the loop over them, which it makes
/// vector instructions of.
const LANES: usize = 64;

/// Numbers of a [`Block`].
pub(crate) const BLOCK: usize = LANES * i32::BITS as usize;

/// The bits of [`BLOCK`] numbers: bit `r` of word `l` is set where number `r * LANES + l` is kept. Numbers that follow each
/// other have their bits in words that do, so that writing and reading them needs no step across vector lanes.
pub(crate) type Block = [i32; LANES];

/// What decides over each number, in the form in which it is computed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Draw {
    pub(crate) key: u64,
    /// Numbers whose random word lies below are dropped.
    pub(crate) threshold: u32,
    /// What those that are kept are multiplied by.
    pub(crate) scale: f64,
}

/// Random words for a block that starts anywhere in the four words of a counter.
type Words = [[u32; 4]; BLOCK / 4 + 1];

impl Dropout {
    /// # Errors
    /// A probability outside `[0, 1)`.
    pub(crate) fn check(&self, op: &'static str) -> Result<()> {
        if (0.0..1.0).contains(&self.p) {
            return Ok(());
        }
        Err(Error::argument(op, format!("the probability of dropout is {}; it must lie in [0, 1)", self.p)))
    }

    pub(crate) fn draw(&self) -> Draw {
        let threshold = (self.p * 2f64.powi(32)).round() as u32;
        Draw { key: self.key, threshold, scale: 1.0 / (1.0 - self.p) }
    }
}

impl Draw {
    /// The random words of the block whose first number lies at `at`.
    #[inline(always)]
    fn words<'a>(&self, at: usize, words: &'a mut Words) -> &'a [u32] {
        philox_fill(self.key, (at / 4) as u64, words);
        &words.as_flattened()[at % 4..][..BLOCK]
    }
}

wide! {
    /// Draws the bits of the numbers from place `at` of their tensor on; bits beyond the last number are drawn as well.
    pub(crate) fn draw<'a, T: Real>(draw: Draw, at: usize, blocks: &'a mut [Block]) -> () {
        let mut words: Words = [[0; 4]; _];
        for (i, block) in blocks.iter_mut().enumerate() {
            let words = draw.words(at + i * BLOCK, &mut words);
            *block = [0; LANES];
            for (r, words) in words.as_chunks::<LANES>().0.iter().enumerate() {
                for (bits, word) in block.iter_mut().zip(words) {
                    *bits |= i32::from(*word >= draw.threshold) << r;
                }
            }
        }
    }
}

/// Multiplies each number by zero or by `scale`, as its bit says.
#[inline(always)]
pub(crate) fn apply<T: cellseg_core::Real>(block: &Block, scale: T, data: &mut [T]) {
    for (r, data) in data.chunks_mut(LANES).enumerate() {
        for (x, bits) in data.iter_mut().zip(block) {
            *x *= if bits >> r & 1 == 0 { T::zero() } else { scale };
        }
    }
}

wide! {
    /// Multiplies each number by zero or by the scale, drawn anew. `at` is the place of the first one in its tensor.
    pub(super) fn draw_and_apply<'a, T: Real>(draw: Draw, data: &'a mut [T], at: usize) -> () {
        let scale = T::of(draw.scale);
        let mut words: Words = [[0; 4]; _];
        for (i, data) in data.chunks_mut(BLOCK).enumerate() {
            let words = draw.words(at + i * BLOCK, &mut words);
            for (x, word) in data.iter_mut().zip(words) {
                *x *= if *word < draw.threshold { T::zero() } else { scale };
            }
        }
    }
}
