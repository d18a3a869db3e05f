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

wide! {
    /// Appends each run of equal ids other than 0 of one row.
    pub(crate) fn cut_ids(row: &[u32], runs: &mut Vec<Run>) {
        each_run_of_ids(row, &mut |_, start, end| runs.push((start, end)));
    }
}

/// What is done with each run of equal ids.
///
/// A closure is enough, but only a method can be forced to be compiled with the loop that calls it.
pub(crate) trait EachRun {
    /// Is called with the id and the voxels `start..end`.
    fn run(&mut self, id: u32, start: u32, end: u32);
}

impl<F: FnMut(u32, u32, u32)> EachRun for F {
    #[inline(always)]
    fn run(&mut self, id: u32, start: u32, end: u32) {
        self(id, start, end);
    }
}

/// Calls `found` for each run of equal ids other than 0 of one row.
///
/// Only within [`wide!`] is the comparison of neighbours done with wide vectors.
#[inline(always)]
pub(crate) fn each_run_of_ids(row: &[u32], found: &mut impl EachRun) {
    let Some((&first, _)) = row.split_first() else { return };
    let (mut id, mut start) = (first, 0);
    // Where voxel x + 1 differs from voxel x, 32 voxels at a time; the last time counts the end of the row as different.
    let (before, after) = (&row[..row.len() - 1], &row[1..]);
    let blocks = before.len() / 32;
    for block in 0..=blocks {
        let at = 32 * block;
        let mut changes = match (before[at..].first_chunk(), after[at..].first_chunk()) {
            (Some(a), Some(b)) => u64::from(differing(a, b)),
            _ => {
                let rest = before[at..].iter().zip(&after[at..]).enumerate();
                let bits = rest.fold(0, |bits, (lane, (a, b))| bits | u64::from(a != b) << lane);
                bits | 1 << (before.len() - at)
            }
        };
        while changes != 0 {
            let x = at + changes.trailing_zeros() as usize + 1;
            changes &= changes - 1;
            if id != 0 {
                found.run(id, start, x as u32);
            }
            (id, start) = (row.get(x).copied().unwrap_or_default(), x as u32);
        }
    }
}

/// A bit for each pair of different values, the first lowest.
#[inline(always)]
pub(crate) fn differing(a: &[u32; 32], b: &[u32; 32]) -> u32 {
    let mut bits = 0;
    for lane in 0..32 {
        bits |= u32::from(a[lane] != b[lane]) << lane;
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
