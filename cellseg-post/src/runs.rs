//! Rows of a volume as runs of voxels that belong together.
//!
//! A mask has ten to a hundred times fewer runs than voxels, and most that is asked of it can be answered by runs.

use std::ops::Range;

use crate::Error;
use crate::grid::Grid;
use crate::wide::wide;

/// The voxels `start..end` of one row.
pub(crate) type Run = (u32, u32);

/// The runs of some planes, row by row.
#[derive(Debug, Default)]
pub(crate) struct Runs {
    /// Where each row's runs begin in `list`; one more entry than rows.
    rows: Vec<u32>,
    /// The runs in raster order.
    pub(crate) list: Vec<Run>,
}

impl Runs {
    /// The runs of `planes` of a volume; `cut(row, runs)` appends those of one row, given its number in the volume.
    pub(crate) fn cut(
        grid: Grid,
        planes: Range<usize>,
        mut cut: impl FnMut(usize, &mut Vec<Run>),
    ) -> Result<Self, Error> {
        let mut runs = Self { rows: Vec::with_capacity(planes.len() * grid.ny + 1), list: Vec::new() };
        runs.rows.push(0);
        for row in planes.start * grid.ny..planes.end * grid.ny {
            cut(row, &mut runs.list);
            runs.rows.push(number_of_runs(runs.list.len())?);
        }
        runs.list.shrink_to_fit();
        Ok(runs)
    }

    /// The numbers of the runs of a row, counted from the first plane that was cut.
    #[inline]
    pub(crate) fn row(&self, row: usize) -> Range<usize> {
        self.rows[row] as usize..self.rows[row + 1] as usize
    }

    /// The runs of a row, counted from the first plane that was cut.
    #[inline]
    pub(crate) fn of_row(&self, row: usize) -> &[Run] {
        &self.list[self.row(row)]
    }
}

/// The number of runs, if 32 bits can hold it.
pub(crate) fn number_of_runs(runs: usize) -> Result<u32, Error> {
    u32::try_from(runs).map_err(|_| Error::TooManyLabels { count: runs as u64 })
}

/// Refuses rows that are too long for runs.
pub(crate) fn rows_fit(grid: Grid) -> Result<Grid, Error> {
    // One bit to spare for the sum of a start and a length.
    if grid.nx < 1 << 31 { Ok(grid) } else { Err(Error::TooLarge { shape: grid.shape(), limit: 1 << 31 }) }
}

/// Appends the runs of true voxels of one row.
#[inline]
pub(crate) fn cut_mask(row: &[bool], runs: &mut Vec<Run>) {
    cut_words(row.chunks(64).map(word), row.len(), runs);
}

/// Appends the runs of voxels above `threshold` of one row.
#[inline]
pub(crate) fn cut_above(row: &[f32], threshold: f32, runs: &mut Vec<Run>) {
    let mut above = [false; 64];
    let words = row.chunks(64).map(|values| {
        above_threshold(values, threshold, &mut above);
        word(&above[..values.len()])
    });
    cut_words(words, row.len(), runs);
}

wide! {
    fn above_threshold(values: &[f32], threshold: f32, above: &mut [bool; 64]) {
        for (above, &value) in above.iter_mut().zip(values) {
            *above = value > threshold;
        }
    }
}

/// Appends the runs of true voxels of one row that lie in `within`, runs of the same row that do not touch.
pub(crate) fn cut_mask_within(row: &[bool], within: &[Run], runs: &mut Vec<Run>) {
    for &(start, end) in within {
        let first = runs.len();
        cut_mask(&row[start as usize..end as usize], runs);
        for run in &mut runs[first..] {
            *run = (run.0 + start, run.1 + start);
        }
    }
}

/// Appends the runs of false voxels of one row.
#[inline]
pub(crate) fn cut_outside(row: &[bool], runs: &mut Vec<Run>) {
    let outside = row.chunks(64).map(|voxels| !word(voxels) & (u64::MAX >> (64 - voxels.len())));
    cut_words(outside, row.len(), runs);
}

/// Up to 64 voxels as the bits of a word, the first voxel lowest.
#[inline]
fn word(voxels: &[bool]) -> u64 {
    let (eights, rest) = voxels.as_chunks::<8>();
    let mut bits = 0;
    for (place, eight) in eights.iter().enumerate() {
        let bytes = u64::from_le_bytes(eight.map(u8::from));
        // Moves the lowest bit of byte i to bit 56 + i; no two products fall on one bit.
        bits |= (bytes.wrapping_mul(0x0102_0408_1020_4080) >> 56) << (8 * place);
    }
    for (place, &voxel) in rest.iter().enumerate() {
        bits |= u64::from(voxel) << (8 * eights.len() + place);
    }
    bits
}

/// Appends the runs of set bits of a row of `len` voxels; no bit may be set beyond them.
#[inline]
fn cut_words(words: impl Iterator<Item = u64>, len: usize, runs: &mut Vec<Run>) {
    let (mut before, mut open) = (0, None);
    for (place, bits) in words.enumerate() {
        // A bit is set where the voxel differs from the one before it.
        let mut changes = bits ^ (bits << 1 | before);
        before = bits >> 63;
        while changes != 0 {
            let x = (64 * place) as u32 + changes.trailing_zeros();
            changes &= changes - 1;
            match open.take() {
                None => open = Some(x),
                Some(start) => runs.push((start, x)),
            }
        }
    }
    if let Some(start) = open {
        runs.push((start, len as u32));
    }
}

/// Appends each run of equal ids other than 0 of one row.
pub(crate) fn cut_ids(row: &[u32], runs: &mut Vec<Run>) {
    let before = runs.len();
    runs.resize(before + room_for_runs(row.len()), (0, 0));
    let found = cut_ids_into(row, &mut runs[before..]);
    runs.truncate(before + found);
}

/// How many entries [`cut_ids_into`] must be given for a row of `len` voxels: one for each, and those written in advance.
pub(crate) fn room_for_runs(len: usize) -> usize {
    len + AT_ONCE
}

/// Voxels whose comparisons fill a word.
const WORD: usize = 64;

/// Places of set bits that are written before it is asked whether there are so many.
///
/// Seldom do 64 voxels have more starts or ends, so the processor guesses right, which it cannot where each bit is asked
/// for: with one branch a run the table of regions took half as long again.
const AT_ONCE: usize = 4;

wide! {
    /// Writes each run of equal ids other than 0 of one row to `runs`, from its first entry on; returns how many.
    ///
    /// There must be [`room_for_runs`].
    pub(crate) fn cut_ids_into(row: &[u32], runs: &mut [Run]) -> usize {
        let mut found = Found::default();
        let words = row.len().saturating_sub(1) / WORD;
        for at in (0..words).map(|word| WORD * word) {
            if let (Some(here), Some(next)) = (row[at..].first_chunk(), row[at + 1..].first_chunk()) {
                found.add(differing(here, &[0; WORD]), differing(here, next), at as u32, runs);
            }
        }
        // What is left of the row: 64 voxels at most, of which the last one always ends its run.
        let at = WORD * words;
        let left = row.len() - at;
        let (inside, changes) = match (row.last_chunk::<WORD>(), row[..row.len().saturating_sub(1)].last_chunk()) {
            (Some(here), Some(before)) => {
                let known = WORD - left;
                (differing(here, &[0; WORD]) >> known, differing(before, here) >> known >> 1)
            }
            _ => {
                let mut padded = [0; WORD];
                padded[..left].copy_from_slice(&row[at..]);
                let mut next = [0; WORD];
                next[..WORD - 1].copy_from_slice(&padded[1..]);
                (differing(&padded, &[0; WORD]), differing(&padded, &next))
            }
        };
        if left > 0 {
            found.add(inside, changes | 1 << (left - 1), at as u32, runs);
        }
        found.ends
    }
}

/// How much is known of a row's runs.
struct Found {
    /// How many starts and ends were written.
    starts: usize,
    ends: usize,
    /// 1 if the next voxel differs from the last.
    border: u64,
}

impl Default for Found {
    fn default() -> Self {
        Self { starts: 0, ends: 0, border: 1 }
    }
}

impl Found {
    /// Writes the starts and ends among the voxels from `at` on, given which belong to an object and which differ from
    /// the next.
    #[inline(always)]
    fn add(&mut self, inside: u64, last: u64, at: u32, runs: &mut [Run]) {
        let first = last << 1 | self.border;
        self.border = last >> (WORD - 1);
        each_bit(first & inside, |place, bit| runs[self.starts + place].0 = at + bit);
        each_bit(last & inside, |place, bit| runs[self.ends + place].1 = at + bit + 1);
        self.starts += (first & inside).count_ones() as usize;
        self.ends += (last & inside).count_ones() as usize;
    }
}

/// Calls `found(n, bit)` with the place of each set bit and some more until n is a multiple of [`AT_ONCE`].
#[inline(always)]
fn each_bit(mut bits: u64, mut found: impl FnMut(usize, u32)) {
    let mut number = 0;
    loop {
        for place in number..number + AT_ONCE {
            found(place, bits.trailing_zeros());
            bits &= bits.wrapping_sub(1);
        }
        number += AT_ONCE;
        if bits == 0 {
            break;
        }
    }
}

/// A bit for each pair of different values, the first lowest.
#[inline(always)]
pub(crate) fn differing<const LANES: usize>(a: &[u32; LANES], b: &[u32; LANES]) -> u64 {
    let mut bits = 0;
    for lane in 0..LANES {
        bits |= u64::from(a[lane] != b[lane]) << lane;
    }
    bits
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn by_voxels<T: PartialEq + Copy>(row: &[T], wanted: impl Fn(T) -> bool) -> Vec<Run> {
        let mut runs: Vec<Run> = Vec::new();
        for (x, &value) in row.iter().enumerate().filter(|(_, value)| wanted(**value)) {
            match runs.last_mut() {
                Some((_, end)) if *end as usize == x && row[x - 1] == value => *end += 1,
                _ => runs.push((x as u32, x as u32 + 1)),
            }
        }
        runs
    }

    proptest! {
        #[test]
        fn runs_are_those_of_a_walk_over_the_voxels(
            row in prop::collection::vec(prop_oneof![3 => Just(0u32), 1 => Just(7), 1 => Just(u32::MAX)], 0..300),
            density in 0usize..3,
        ) {
            let mask: Vec<bool> = row.iter().enumerate().map(|(x, id)| *id != 0 || x % 3 < density).collect();
            let mut runs = Vec::new();
            cut_mask(&mask, &mut runs);
            prop_assert_eq!(&runs, &by_voxels(&mask, |inside| inside));
            runs.clear();
            cut_outside(&mask, &mut runs);
            prop_assert_eq!(&runs, &by_voxels(&mask, |inside| !inside));
            runs.clear();
            cut_ids(&row, &mut runs);
            prop_assert_eq!(&runs, &by_voxels(&row, |id| id != 0));
        }
    }

    #[test]
    fn more_runs_than_32_bits_can_number_are_an_error() {
        assert_eq!(number_of_runs(u32::MAX as usize), Ok(u32::MAX));
        let count = u64::from(u32::MAX) + 1;
        assert_eq!(number_of_runs(count as usize), Err(Error::TooManyLabels { count }));
    }

    #[test]
    fn rows_of_2_to_the_31_voxels_are_too_long() {
        assert!(rows_fit(Grid { nz: 1, ny: 1, nx: (1 << 31) - 1 }).is_ok());
        assert!(matches!(rows_fit(Grid { nz: 1, ny: 1, nx: 1 << 31 }), Err(Error::TooLarge { .. })));
    }
}
