//! The backward pass of one head of one window.
//!
//! With the probabilities `p = exp(score - logarithm)`, computed again, the gradient `g` of the output `o`, and
//! `s = p * (g . v - g . o)`, the gradients are `sum(p g)` over the queries for the values, `scale * sum(s k)` over the keys
//! for the queries, `scale * sum(s q)` over the queries for the keys, and `s` for the bias (Dao et al., "FlashAttention",
//! NeurIPS 2022, with the softmax's sums kept by their logarithms).

use super::{
    bias::Table,
    forward::Head,
    layout::{Layout, Packing, Part, one_by_one, side_by_side, tile},
    tile::{add_bias, mix, products, spread},
};
use crate::{
    pointwise::{exponential::exp_lanes, lanes::sum_of_pairs},
    simd::{Lanes, Routine},
};
use cellseg_core::Real;
use std::array::from_fn;

/// Numbers to work with.
pub(super) struct Scratch<T> {
    /// Queries times the scale, and gradients of the output.
    queries: Vec<T>,
    grads: Vec<T>,
    /// Keys for products and for sums.
    keys: [Vec<T>; 2],
    values: Vec<T>,
    of_keys: Vec<T>,
    of_values: Vec<T>,
    /// Probabilities, and gradients of the scores, of the rows of a tile.
    probabilities: Vec<T>,
    of_scores: Vec<T>,
    /// A row of the latter in the tokens' order.
    row: Vec<T>,
}

impl<T: Real> Scratch<T> {
    pub(super) fn new(layout: &Layout, packing: &Packing) -> Self {
        let zeros = |n: usize| vec![T::zero(); n];
        let Packing { padded_rows, padded_columns, padded_dim, .. } = *packing;
        Scratch {
            queries: zeros(padded_rows * padded_dim),
            grads: zeros(padded_rows * padded_dim),
            keys: [zeros(padded_columns * layout.dim), zeros(padded_columns * padded_dim)],
            values: zeros(padded_columns * layout.dim),
            of_keys: zeros(padded_columns * padded_dim),
            of_values: zeros(padded_columns * padded_dim),
            probabilities: zeros(packing.scores()),
            of_scores: zeros(packing.scores()),
            row: zeros(padded_columns),
        }
    }
}

/// Computes the head's part of the gradient of the window's numbers, `[tokens, 3, heads, dim]`, and adds to the gradient of
/// the head's part of the bias table.
pub(super) struct Backward<'a, T> {
    pub(super) head: Head<'a, T>,
    pub(super) scratch: &'a mut Scratch<T>,
    /// The output of the window and its gradient, `[tokens, heads, dim]`.
    pub(super) out: &'a [T],
    pub(super) grad: &'a [T],
    pub(super) logarithms: &'a [T],
    pub(super) of_qkv: &'a mut [T],
    /// Absent where it is not wanted.
    pub(super) of_table: Option<(&'a Table, &'a mut [T])>,
}

impl<T: Real> Routine<T> for Backward<'_, T> {
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

/// A head's part of each token of a window's output or its gradient.
fn tokens<'a, T: Real>(layout: Layout, head: usize, of: &'a [T]) -> impl Fn(usize) -> &'a [T] {
    move |token| &of[layout.output_at(head, token)..][..layout.dim]
}

impl<T: Real> Backward<'_, T> {
    #[inline(always)]
    fn pack<L: Lanes<Elem = T>, const MR: usize, const NV: usize>(&mut self) {
        let (head, grad) = (self.head, tokens(*self.head.layout, self.head.head, self.grad));
        let (tokens, d, one) = (head.layout.tokens, head.packing.padded_dim, T::one());
        let s = &mut *self.scratch;
        let [query, key, value] = [Part::Query, Part::Key, Part::Value].map(|part| head.token(part));
        one_by_one(query, tokens, d, head.scale, &mut s.queries);
        one_by_one(grad, tokens, d, one, &mut s.grads);
        one_by_one(&key, tokens, d, one, &mut s.keys[1]);
        side_by_side(&key, tokens, NV * L::N, &mut s.keys[0]);
        side_by_side(value, tokens, NV * L::N, &mut s.values);
        s.of_keys.fill(T::zero());
        s.of_values.fill(T::zero());
    }

    #[inline(always)]
    fn rows<L: Lanes<Elem = T>, const MR: usize, const NV: usize>(mut self) {
        self.pack::<L, MR, NV>();
        let Head { layout, packing, head, .. } = self.head;
        let [out, grad] = [self.out, self.grad].map(|of| tokens(*layout, head, of));
        for first in (0..layout.tokens).step_by(MR) {
            let present = MR.min(layout.tokens - first);
            let shifts: [[T; MR]; 2] = [
                from_fn(|p| if p < present { self.logarithms[first + p] } else { T::zero() }),
                from_fn(|p| {
                    if p < present {
                        sum_of_pairs(grad(first + p), out(first + p), |g, o| g * o)
                    } else {
                        T::zero()
                    }
                }),
            ];
            self.scores::<L, MR, NV>(first, shifts);
            if let Some((table, sums)) = &mut self.of_table {
                let s = &mut *self.scratch;
                for p in 0..present {
                    let blocks = s.of_scores.chunks_exact(MR * NV * L::N);
                    for (row, scores) in s.row.chunks_exact_mut(NV * L::N).zip(blocks) {
                        row.copy_from_slice(&scores[p * NV * L::N..][..NV * L::N]);
                    }
                    table.add::<L>(first + p, &s.row[..layout.tokens], sums);
                }
            }
            let mut at = 0;
            while at < layout.dim {
                if layout.dim - at > L::N {
                    self.vectors::<L, MR, NV, 2>(first, at);
                    at += 2 * L::N;
                } else {
                    self.vectors::<L, MR, NV, 1>(first, at);
                    at += L::N;
                }
            }
        }
        let d = packing.padded_dim;
        for token in 0..layout.tokens {
            for (part, from) in [(Part::Key, &self.scratch.of_keys), (Part::Value, &self.scratch.of_values)] {
                let to = layout.at(part, head, token);
                self.of_qkv[to..][..layout.dim].copy_from_slice(&from[token * d..][..layout.dim]);
            }
        }
    }

    /// The probabilities of the rows from `first` on, and the gradients of their scores. `shifts` are what is taken from
    /// the scores, and from the products of gradients and values, of each row.
    #[inline(always)]
    fn scores<L: Lanes<Elem = T>, const MR: usize, const NV: usize>(
        &mut self,
        first: usize,
        [logarithms, means]: [[T; MR]; 2],
    ) {
        let (head, width, s) = (self.head, NV * L::N, &mut *self.scratch);
        let (dim, i) = (head.layout.dim, first / MR);
        let d = head.packing.padded_dim;
        let [queries, grads] = [&s.queries, &s.grads].map(|of| &of[first * d..][..MR * d]);
        let bias = &head.bias[i * head.packing.scores()..][..head.packing.scores()];
        let columns = s.keys[0].chunks_exact(dim * width).zip(s.values.chunks_exact(dim * width));
        let found =
            s.probabilities.chunks_exact_mut(MR * width).zip(s.of_scores.chunks_exact_mut(MR * width));
        let blocks = columns.zip(bias.chunks_exact(MR * width)).zip(found).enumerate();
        for (j, (((keys, values), bias), (probabilities, of_scores))) in blocks {
            let mut sums = products::<L, MR, NV>(queries, d, dim, keys);
            add_bias(&mut sums, bias, head.regions(first, j * width));
            for p in 0..MR {
                for (v, score) in sums[p].iter().enumerate() {
                    let e = exp_lanes(*score - L::splat(logarithms[p]));
                    e.write(&mut probabilities[(p * NV + v) * L::N..][..L::N]);
                }
            }
            let sums = products::<L, MR, NV>(grads, d, dim, values);
            for p in 0..MR {
                for (v, sum) in sums[p].iter().enumerate() {
                    let at = (p * NV + v) * L::N;
                    let e = L::from_slice(&probabilities[at..][..L::N]);
                    (e * (*sum - L::splat(means[p]))).write(&mut of_scores[at..][..L::N]);
                }
            }
        }
    }

    /// `ND` vectors of the gradients of the queries from `first` on, and of these rows' part of those of keys and values.
    #[inline(always)]
    fn vectors<L: Lanes<Elem = T>, const MR: usize, const NV: usize, const ND: usize>(
        &mut self,
        first: usize,
        at: usize,
    ) {
        let Head { layout, packing, head, scale, .. } = self.head;
        let (d, s) = (packing.padded_dim, &mut *self.scratch);
        let sums = mix::<L, MR, NV, ND>(&s.of_scores, &s.keys[1], d, at);
        for (p, sums) in sums.iter().enumerate().take(layout.tokens - first) {
            let to = layout.at(Part::Query, head, first + p);
            for (v, sum) in sums.iter().enumerate() {
                let from = at + v * L::N;
                let count = L::N.min(layout.dim - from);
                (*sum * L::splat(scale)).write(&mut self.of_qkv[to + from..][..count]);
            }
        }
        let rows = first * d..(first + MR) * d;
        spread::<L, MR, NV, ND>(&s.of_scores, &s.queries[rows.clone()], d, at, &mut s.of_keys);
        spread::<L, MR, NV, ND>(&s.probabilities, &s.grads[rows], d, at, &mut s.of_values);
    }
}
