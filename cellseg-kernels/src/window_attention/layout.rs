//! Extents of the arrays, and the order in which numbers are packed.

use crate::simd::Isa;
use cellseg_core::Real;

/// Extents of `qkv`, `[windows, tokens, 3, heads, dim]`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Layout {
    pub(super) windows: usize,
    pub(super) tokens: usize,
    pub(super) heads: usize,
    pub(super) dim: usize,
}

/// Queries, keys or values.
#[derive(Debug, Clone, Copy)]
pub(super) enum Part {
    Query,
    Key,
    Value,
}

impl Layout {
    /// Numbers of the output of one window.
    pub(super) fn window(&self) -> usize {
        self.tokens * self.heads * self.dim
    }

    /// Where a token's part of a head starts in the `qkv` of a window.
    pub(super) fn at(&self, part: Part, head: usize, token: usize) -> usize {
        ((token * 3 + part as usize) * self.heads + head) * self.dim
    }

    /// Where a token's part of a head starts in the output of a window.
    pub(super) fn output_at(&self, head: usize, token: usize) -> usize {
        (token * self.heads + head) * self.dim
    }

    /// Windows that one thread takes at a time: so few that there is work for many threads, and so many that a head's
    /// bias, which is read for each of them in turn, comes from a cache.
    pub(super) fn windows_at_once(&self) -> usize {
        (self.windows / 16).clamp(1, 8)
    }
}

/// Rows of queries and vectors of keys of a register tile, for a machine with so many registers and numbers of this size:
/// their products are held in registers, with room for a vector of each operand. Double precision, in which gradients are
/// checked, has one small tile.
pub(super) const fn tile(registers: usize, size: usize) -> (usize, usize) {
    match (size, registers) {
        (8, _) => (4, 1),
        (_, 32..) => (8, 2),
        _ => (6, 2),
    }
}

/// How the tokens of a window are packed for one instruction set: rounded up to whole tiles.
///
/// Scores are kept for a tile's rows at a time, in the order `[columns / width, rows, width]`, so that loops over them run
/// through memory; the bias is stored in that order for all rows.
#[derive(Debug, Clone, Copy)]
pub(super) struct Packing {
    /// Rows of a tile.
    pub(super) rows: usize,
    /// Columns of a tile.
    pub(super) width: usize,
    /// Tokens as rows, a multiple of `rows`.
    pub(super) padded_rows: usize,
    /// Tokens as columns, a multiple of `width`.
    pub(super) padded_columns: usize,
    /// The dimension of a head rounded up to whole vectors.
    pub(super) padded_dim: usize,
}

impl Packing {
    pub(super) fn new<T: Real>(layout: &Layout, isa: Isa) -> Self {
        let (rows, vectors) = tile(isa.registers(), size_of::<T>());
        let (lanes, tokens) = (isa.lanes::<T>(), layout.tokens);
        Packing {
            rows,
            width: vectors * lanes,
            padded_rows: tokens.next_multiple_of(rows),
            padded_columns: tokens.next_multiple_of(vectors * lanes),
            padded_dim: layout.dim.next_multiple_of(lanes),
        }
    }

    /// Scores of the rows of a tile.
    pub(super) fn scores(&self) -> usize {
        self.rows * self.padded_columns
    }

    /// Scores of all rows.
    pub(super) fn all_scores(&self) -> usize {
        self.padded_rows * self.padded_columns
    }
}

/// Numbers along each side of a square that is turned at once: the compiler does it in registers, while it makes scattered
/// stores, at five cycles a number, of the plain loop.
const SQUARE: usize = 4;

/// Packs tokens side by side, `[tokens / width, dim, width]`; zeros where there is no token.
#[inline(always)]
pub(super) fn side_by_side<'a, T: Real>(
    token: impl Fn(usize) -> &'a [T],
    tokens: usize,
    width: usize,
    out: &mut [T],
) {
    let dim = token(0).len();
    for (block, out) in out.chunks_exact_mut(dim * width).enumerate() {
        let first = block * width;
        let present = width.min(tokens.saturating_sub(first));
        if present < width {
            out.fill(T::zero());
        }
        let whole = present / SQUARE * SQUARE;
        for l in (0..whole).step_by(SQUARE) {
            let tokens: [&[T]; SQUARE] = [0, 1, 2, 3].map(|i| token(first + l + i));
            let (squares, _) = tokens[0].as_chunks::<SQUARE>();
            for i in (0..squares.len()).map(|square| square * SQUARE) {
                let square = tokens.map(|token| [token[i], token[i + 1], token[i + 2], token[i + 3]]);
                for j in 0..SQUARE {
                    let turned = [square[0][j], square[1][j], square[2][j], square[3][j]];
                    out[(i + j) * width + l..][..SQUARE].copy_from_slice(&turned);
                }
            }
            for i in squares.len() * SQUARE..dim {
                (0..SQUARE).for_each(|j| out[i * width + l + j] = tokens[j][i]);
            }
        }
        for l in whole..present {
            token(first + l).iter().enumerate().for_each(|(i, x)| out[i * width + l] = *x);
        }
    }
}

/// Packs tokens one after the other, `[tokens, padded_dim]`, times `factor`; zeros where there is no token or number.
#[inline(always)]
pub(super) fn one_by_one<'a, T: Real>(
    token: impl Fn(usize) -> &'a [T],
    tokens: usize,
    padded_dim: usize,
    factor: T,
    out: &mut [T],
) {
    for (i, out) in out.chunks_exact_mut(padded_dim).enumerate() {
        let from = if i < tokens { token(i) } else { &[] };
        let (inside, beyond) = out.split_at_mut(from.len());
        inside.iter_mut().zip(from).for_each(|(o, x)| *o = *x * factor);
        beyond.fill(T::zero());
    }
}
