//! The forward pass of one head of one window.
//!
//! For the rows of a tile at a time: scores and their greatest, exponentials and their sum, the mix of the values. The
//! scores of these rows, some kilobytes, stay in the first-level cache.

use super::{
    layout::{Layout, Packing, Part, one_by_one, side_by_side, tile},
    tile::{RegionsOfTile, add_bias, mix, products},
};
use crate::{
    pointwise::exponential::exp_lanes,
    simd::{Lanes, Routine},
};
use cellseg_core::Real;
use num_traits::{Float, Zero};
use std::array::from_fn;

/// What a head of a window is computed from.
#[derive(Clone, Copy)]
pub(super) struct Head<'a, T> {
    pub(super) layout: &'a Layout,
    pub(super) packing: &'a Packing,
    pub(super) head: usize,
    /// What the products are multiplied by.
    pub(super) scale: T,
    /// The window's numbers, `[tokens, 3, heads, dim]`.
    pub(super) qkv: &'a [T],
    /// The head's bias, packed.
    pub(super) bias: &'a [T],
    /// The region of each token, padded to `padded_columns`, where the window has several.
    pub(super) regions: Option<&'a [T]>,
}

impl<'a, T: Real> Head<'a, T> {
    pub(super) fn token(&self, part: Part) -> impl Fn(usize) -> &'a [T] {
        let this = *self;
        move |token| &this.qkv[this.layout.at(part, this.head, token)..][..this.layout.dim]
    }

    /// The regions of the rows from `row` on and of the columns from `column` on.
    #[inline(always)]
    pub(super) fn regions<const MR: usize>(
        &self,
        row: usize,
        column: usize,
    ) -> Option<RegionsOfTile<'a, T, MR>> {
        self.regions
            .map(|regions| (from_fn(|p| regions[(row + p).min(regions.len() - 1)]), &regions[column..]))
    }
}

/// Numbers to work with.
pub(super) struct Scratch<T> {
    queries: Vec<T>,
    keys: Vec<T>,
    values: Vec<T>,
    scores: Vec<T>,
}

impl<T: Real> Scratch<T> {
    pub(super) fn new(layout: &Layout, packing: &Packing) -> Self {
        let zeros = |n: usize| vec![T::zero(); n];
        Scratch {
            queries: zeros(packing.padded_rows * packing.padded_dim),
            keys: zeros(packing.padded_columns * layout.dim),
            values: zeros(packing.padded_columns * packing.padded_dim),
            scores: zeros(packing.scores()),
        }
    }
}

/// Computes the head's part of the window's output, `[tokens, heads, dim]`, and the logarithms of the sums of
/// exponentials, `[tokens]`.
pub(super) struct Forward<'a, T> {
    pub(super) head: Head<'a, T>,
    pub(super) scratch: &'a mut Scratch<T>,
    pub(super) out: &'a mut [T],
    pub(super) logarithms: &'a mut [T],
}

impl<T: Real> Routine<T> for Forward<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<L: Lanes<Elem = T>>(self) {
        match const { tile(L::REGISTERS, size_of::<L::Elem>()) } {
            (8, 2) => self.rows::<L, 8, 2>(),
            (6, 2) => self.rows::<L, 6, 2>(),
            _ => self.rows::<L, 4, 1>(),
        }
    }
}

impl<T: Real> Forward<'_, T> {
    #[inline(always)]
    fn rows<L: Lanes<Elem = T>, const MR: usize, const NV: usize>(self) {
        let Forward { head, scratch, out, logarithms } = self;
        let Head { layout, packing, .. } = head;
        let (tokens, dim, one) = (layout.tokens, layout.dim, T::one());
        one_by_one(head.token(Part::Query), tokens, packing.padded_dim, head.scale, &mut scratch.queries);
        side_by_side(head.token(Part::Key), tokens, NV * L::N, &mut scratch.keys);
        one_by_one(head.token(Part::Value), tokens, packing.padded_dim, one, &mut scratch.values);
        let queries = scratch.queries.chunks_exact(MR * packing.padded_dim);
        let biases = head.bias.chunks_exact(packing.scores());
        for (i, (queries, bias)) in queries.zip(biases).enumerate() {
            let first = i * MR;
            let most = scores::<L, MR, NV>(&head, first, queries, &scratch.keys, bias, &mut scratch.scores);
            let sums = exponentials::<L, MR, NV>(most, &mut scratch.scores);
            let factors: [T; MR] = from_fn(|p| one / sums[p]);
            for p in 0..MR.min(tokens - first) {
                logarithms[first + p] = most[p] + sums[p].ln();
            }
            let mut at = 0;
            while at < dim {
                if dim - at > L::N {
                    vectors::<L, MR, NV, 2>(&head, scratch, first, at, factors, out);
                    at += 2 * L::N;
                } else {
                    vectors::<L, MR, NV, 1>(&head, scratch, first, at, factors, out);
                    at += L::N;
                }
            }
        }
    }
}

/// `ND` vectors of the outputs of the rows from `first` on, times the factor of each row.
#[inline(always)]
fn vectors<L: Lanes, const MR: usize, const NV: usize, const ND: usize>(
    head: &Head<'_, L::Elem>,
    scratch: &Scratch<L::Elem>,
    first: usize,
    at: usize,
    factors: [L::Elem; MR],
    out: &mut [L::Elem],
) {
    let layout = head.layout;
    let sums = mix::<L, MR, NV, ND>(&scratch.scores, &scratch.values, head.packing.padded_dim, at);
    for (p, sums) in sums.iter().enumerate().take(layout.tokens - first) {
        let to = layout.output_at(head.head, first + p);
        for (v, sum) in sums.iter().enumerate() {
            let from = at + v * L::N;
            let count = L::N.min(layout.dim - from);
            (*sum * L::splat(factors[p])).write(&mut out[to + from..][..count]);
        }
    }
}

/// The scores of the rows from `first` on, and the greatest of each row.
#[inline(always)]
fn scores<L: Lanes, const MR: usize, const NV: usize>(
    head: &Head<'_, L::Elem>,
    first: usize,
    queries: &[L::Elem],
    keys: &[L::Elem],
    bias: &[L::Elem],
    scores: &mut [L::Elem],
) -> [L::Elem; MR] {
    let (width, dim) = (NV * L::N, head.layout.dim);
    let mut most = [L::splat(L::Elem::neg_infinity()); MR];
    let blocks = keys.chunks_exact(dim * width).zip(bias.chunks_exact(MR * width));
    for (j, ((keys, bias), scores)) in blocks.zip(scores.chunks_exact_mut(MR * width)).enumerate() {
        let mut sums = products::<L, MR, NV>(queries, head.packing.padded_dim, dim, keys);
        add_bias(&mut sums, bias, head.regions(first, j * width));
        for p in 0..MR {
            for v in 0..NV {
                most[p] = most[p].max(sums[p][v]);
                sums[p][v].write(&mut scores[(p * NV + v) * L::N..][..L::N]);
            }
        }
    }
    from_fn(
        #[inline(always)]
        |p| greatest(most[p]),
    )
}

/// The greatest of all lanes.
#[inline(always)]
fn greatest<L: Lanes>(lanes: L) -> L::Elem {
    let mut all = [L::Elem::neg_infinity(); 16];
    lanes.write(&mut all[..L::N]);
    all[..L::N].iter().copied().fold(all[0], |most, x| if x > most { x } else { most })
}

/// Replaces scores by exponentials of their distance from the greatest of their row, and returns the sums of the rows.
#[inline(always)]
fn exponentials<L: Lanes, const MR: usize, const NV: usize>(
    most: [L::Elem; MR],
    scores: &mut [L::Elem],
) -> [L::Elem; MR] {
    let mut sums = [L::splat(L::Elem::zero()); MR];
    for scores in scores.chunks_exact_mut(MR * NV * L::N) {
        for p in 0..MR {
            let most = L::splat(most[p]);
            for v in 0..NV {
                let at = (p * NV + v) * L::N;
                let e = exp_lanes(L::from_slice(&scores[at..][..L::N]) - most);
                e.write(&mut scores[at..][..L::N]);
                sums[p] = sums[p] + e;
            }
        }
    }
    from_fn(
        #[inline(always)]
        |p| sums[p].sum(),
    )
}
