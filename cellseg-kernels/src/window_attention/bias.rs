//! The relative position bias: a learned number for each difference of two tokens' coordinates.

use super::layout::{Layout, Packing};
use crate::simd::Lanes;
use cellseg_core::Real;
use rayon::prelude::*;

/// A table of biases, `[differences, heads]`, of a window.
///
/// Its rows are lines of the `2w - 1` differences along `x`. Between the lines of tokens `(z, y)` and `(z', y')` that is
/// the line `place(z, y) - place(z', y') + place(d - 1, h - 1)` with `place(z, y) = z (2h - 1) + y`.
#[derive(Debug)]
pub(super) struct Table {
    /// The extents `(d, h, w)` of the window that the table was made for.
    window: [usize; 3],
    /// The place of each line of tokens.
    places: Vec<usize>,
}

/// The row of the bias table for each pair of tokens, `[tokens, tokens]`, of a window `(d, h, w)`: MONAI's
/// `relative_position_index`.
///
/// Tokens `i` and `j` have the row `((zi - zj + d - 1) (2h - 1) + yi - yj + h - 1) (2w - 1) + xi - xj + w - 1`.
pub fn relative_position_index(window: [usize; 3]) -> Vec<usize> {
    let (table, tokens) = (Table::new(window), window.iter().product());
    let [_, _, w] = window;
    let line = |i: usize, j: usize| table.centre(i / w) - table.places[j / w];
    let row = |i: usize, j: usize| line(i, j) * table.line_length() + i % w + w - 1 - j % w;
    (0..tokens).flat_map(|i| (0..tokens).map(move |j| row(i, j))).collect()
}

impl Table {
    pub(super) fn new(window: [usize; 3]) -> Self {
        let [d, h, _] = window;
        Table { window, places: (0..d * h).map(|line| line / h * (2 * h - 1) + line % h).collect() }
    }

    /// How many differences there are.
    pub(super) fn len(&self) -> usize {
        self.window.iter().map(|w| 2 * w - 1).product()
    }

    /// The line between a line of tokens and the first one.
    #[inline(always)]
    fn centre(&self, line: usize) -> usize {
        self.places[line] + self.places[self.places.len() - 1]
    }

    /// A head's part of a table, its lines running backwards.
    fn of_head<T: Real>(&self, table: &[T], heads: usize, head: usize) -> Vec<T> {
        let length = self.line_length();
        let at = |i: usize| table[(i / length * length + length - 1 - i % length) * heads + head];
        (0..self.len()).map(at).collect()
    }

    /// The bias of all heads, packed as scores are, `[heads, rows / r, columns / width, r, width]`. Without a table it is
    /// zero. Columns that are none get a score that leaves nothing of them.
    pub(super) fn packed<T: Real>(&self, table: Option<&[T]>, layout: &Layout, packing: &Packing) -> Vec<T> {
        let mut all = vec![T::zero(); layout.heads * packing.all_scores()];
        all.par_chunks_mut(packing.all_scores()).enumerate().for_each(|(head, packed)| {
            let table = table.map(|table| self.of_head(table, layout.heads, head));
            let mut row = vec![T::zero(); packing.padded_columns];
            row[layout.tokens..].fill(T::min_value());
            for (i, packed) in packed.chunks_exact_mut(packing.scores()).enumerate() {
                for r in 0..packing.rows {
                    let token = i * packing.rows + r;
                    if let Some(table) = table.as_ref().filter(|_| token < layout.tokens) {
                        let w = self.window[2];
                        let (centre, shift) = (self.centre(token / w), w - 1 - token % w);
                        for (line, place) in row[..layout.tokens].chunks_mut(w).zip(&self.places) {
                            let at = (centre - place) * self.line_length() + shift;
                            line.copy_from_slice(&table[at..][..line.len()]);
                        }
                    }
                    let blocks = packed.chunks_exact_mut(packing.rows * packing.width);
                    for (packed, row) in blocks.zip(row.chunks_exact(packing.width)) {
                        packed[r * packing.width..][..packing.width].copy_from_slice(row);
                    }
                }
            }
        });
        all
    }

    /// Room for the gradient of a head's part of a table: lines that run backwards, so that the numbers of neighbouring
    /// tokens follow each other, and so far apart that vectors which start in one of them end before the next, because a
    /// vector that reads what another has just written waits for it.
    pub(super) fn sums<T: Real>(&self, lanes: usize) -> Vec<T> {
        vec![T::zero(); self.len() / self.line_length() * self.line_room(lanes)]
    }

    fn line_length(&self) -> usize {
        2 * self.window[2] - 1
    }

    fn line_room(&self, lanes: usize) -> usize {
        self.line_length() + lanes
    }

    /// Adds the gradients of the scores of token `i` to [`Table::sums`].
    #[inline(always)]
    pub(super) fn add<L: Lanes>(&self, i: usize, row: &[L::Elem], sums: &mut [L::Elem]) {
        let (w, room) = (self.window[2], self.line_room(L::N));
        let (centre, shift) = (self.centre(i / w), w - 1 - i % w);
        for (line, place) in row.chunks(w).zip(&self.places) {
            let mut at = (centre - place) * room + shift;
            for line in line.chunks(L::N) {
                let sums = &mut sums[at..][..L::N];
                (L::from_slice(line) + L::from_slice(sums)).write(sums);
                at += L::N;
            }
        }
    }

    /// Adds what [`Table::sums`] made room for to the gradient of the table.
    pub(super) fn add_head<T: Real>(
        &self,
        sums: &[T],
        lanes: usize,
        head: usize,
        heads: usize,
        table: &mut [f64],
    ) {
        let lines =
            sums.chunks_exact(self.line_room(lanes)).zip(table.chunks_exact_mut(self.line_length() * heads));
        for (sums, table) in lines {
            let line = sums[..self.line_length()].iter().rev();
            line.zip(table[head..].iter_mut().step_by(heads)).for_each(|(sum, table)| *table += sum.wide());
        }
    }
}
