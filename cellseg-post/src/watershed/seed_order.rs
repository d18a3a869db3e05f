//! Which of equally high seeds floods first.
//!
//! `skimage.segmentation.watershed` puts all seeds into a binary heap together; which of equal ones leaves first follows
//! from where they lie in it, and so from everything that has moved through it. To follow it, voxels are moved through
//! such a heap (swaps towards the smaller child, of two equal ones the left). That takes far longer than the flood itself,
//! but only the order of seeds is asked of it:
//!
//! 1. Floods of different components do not meet, and seeds of one id that leave one after another flood the same voxels
//!    in any order. So nothing is asked above the highest level on which one component has two seeds of different ids.
//! 2. What lies above that level never leaves the heap. It takes up places, but which of it lies where does not matter to
//!    the rest, so all of it is one entry, larger than all others.
//! 3. Where a flood goes does not depend on its label, so voxels have none here.
//!
//! On touching nuclei flooded by distance the last such level lies at half the height, where one voxel in twelve has left.

use rayon::prelude::*;

use super::Map;
use crate::Connectivity;
use crate::bodies::{BodyRun, BodyRuns};
use crate::float_order::key;
use crate::grid::{Around, Grid, Neighbourhood};
use crate::memory::{prefetch, zeros};

/// The order of the seeds of one level.
pub(super) struct SeedOrder {
    /// Seeds, in raster order, that do not come in raster order, with the order in which they come.
    ranks: Vec<(u32, u32)>,
}

impl SeedOrder {
    /// In raster order.
    pub(super) fn raster() -> Self {
        Self { ranks: Vec::new() }
    }

    /// As scikit-image takes them.
    pub(super) fn of_skimage(map: &Map, bodies: &BodyRuns, connectivity: Connectivity) -> Self {
        let last_tie = bodies.all().into_par_iter().filter_map(|body| last_tie(map, bodies.of(body))).max();
        Self { ranks: last_tie.map_or_else(Vec::new, |last| ranks(map, connectivity, last)) }
    }

    /// Sorts seeds that are given in raster order; `index` is their voxel.
    pub(super) fn sort(&self, seeds: &mut [u32], index: impl Fn(&u32) -> usize) {
        if !self.ranks.is_empty() {
            seeds.sort_by_cached_key(|seed| {
                let found = self.ranks.binary_search_by_key(&index(seed), |&(index, _)| index as usize);
                found.map_or(u32::MAX, |place| self.ranks[place].1)
            });
        }
    }
}

/// The key of the highest level on which there are seeds of different ids in the component of these runs.
fn last_tie(map: &Map, runs: &[BodyRun]) -> Option<u32> {
    let voxels = runs.iter().flat_map(|run| run.voxels(map.grid)).filter(|&index| map.seeds[index] != 0);
    let mut seeds: Vec<(u32, u32)> =
        voxels.map(|index| (key(map.heights[index]), map.seeds[index])).collect();
    seeds.sort_unstable();
    seeds.windows(2).rev().find(|pair| pair[0].0 == pair[1].0 && pair[0].1 != pair[1].1).map(|pair| pair[0].0)
}

/// The seeds up to the level `last`, in raster order, and the order in which they leave scikit-image's heap.
fn ranks(map: &Map, connectivity: Connectivity, last: u32) -> Vec<(u32, u32)> {
    let hood = Neighbourhood::new(map.grid, connectivity);
    let mut open = map.inside.to_vec();
    let mut heap = KeyHeap::new(open.iter().filter(|open| **open).count());
    // The voxels that are not above the last level, as they arrive; first the seeds.
    let mut arrived: Vec<u32> = Vec::new();
    for (index, open) in open.iter_mut().enumerate().filter(|(index, open)| **open && map.seeds[*index] != 0)
    {
        *open = false;
        let level = key(map.heights[index]);
        if level > last {
            heap.push_above();
        } else {
            heap.seeds += 1;
            heap.push(u64::from(level) << 32 | arrived.len() as u64);
            arrived.push(index as u32);
        }
    }
    let mut ranks: Vec<(u32, u32)> = arrived.iter().map(|&index| (index, 0)).collect();
    let mut left = 0;
    while left < heap.seeds {
        let entry = heap.pop().expect("the seeds that have not left are in the heap");
        let (level, arrival) = ((entry >> 32) as u32, entry as u32);
        if arrival < heap.seeds {
            ranks[arrival as usize].1 = left;
            left += 1;
        }
        for &next in heap.next() {
            if let Some(&index) = arrived.get(next as u32 as usize) {
                map.fetch_around(&open, index as usize);
            }
        }
        hood.each(arrived[arrival as usize] as usize, |other| {
            if std::mem::take(&mut open[other]) {
                let level = key(map.heights[other]).max(level);
                if level > last {
                    heap.push_above();
                } else {
                    heap.push(u64::from(level) << 32 | arrived.len() as u64);
                    arrived.push(other as u32);
                }
            }
        });
    }
    ranks
}

/// scikit-image's heap.
///
/// An entry is the key of the level above the number of the arrival, by which the voxel is found. All seeds arrive at
/// once: their numbers, the first `seeds`, do not count when they are compared. Entry 1 is the top, and eight entries are
/// one cache line, so the great-grandchildren of an entry are one line: it is fetched while the levels between are looked
/// at, without which the heap of a large volume waits for memory at every level.
struct KeyHeap {
    entries: Vec<u64>,
    /// Where entry 0 lies.
    origin: usize,
    len: usize,
    seeds: u32,
}

impl KeyHeap {
    /// An empty heap for at most so many entries.
    fn new(most: usize) -> Self {
        let line = 8;
        let entries = zeros::<u64>(Grid { nz: 1, ny: 1, nx: most + 2 * line }).into_raw_vec_and_offset().0;
        let origin = entries.as_ptr().align_offset(line * size_of::<u64>()).min(line);
        Self { entries, origin, len: 0, seeds: 0 }
    }

    /// What an entry is compared by.
    #[inline(always)]
    fn rank(&self, entry: u64) -> u64 {
        let arrival = entry as u32;
        entry & !u64::from(u32::MAX) | u64::from(if arrival < self.seeds { 0 } else { arrival })
    }

    /// Adds something that lies above all that is of interest.
    #[inline]
    fn push_above(&mut self) {
        self.len += 1;
        self.entries[self.origin + self.len] = u64::MAX;
    }

    #[inline]
    fn push(&mut self, entry: u64) {
        self.len += 1;
        let mut place = self.len;
        let rank = self.rank(entry);
        while place > 1 {
            let parent = self.entries[self.origin + place / 2];
            if rank >= self.rank(parent) {
                break;
            }
            self.entries[self.origin + place] = parent;
            place /= 2;
        }
        self.entries[self.origin + place] = entry;
    }

    /// The top and its children, which are the next to leave if nothing smaller comes first.
    #[inline]
    fn next(&self) -> &[u64] {
        &self.entries[self.origin + 1..=self.origin + self.len.min(3)]
    }

    #[inline]
    fn pop(&mut self) -> Option<u64> {
        if self.len == 0 {
            return None;
        }
        let entries = &self.entries[self.origin..self.origin + self.len + 1];
        let (first, last) = (entries[1], entries[self.len]);
        self.len -= 1;
        let rank = self.rank(last);
        // The last entry sinks from the top: the smaller child, of two equal ones the left, moves up while it is smaller.
        let mut place = 1;
        while 2 * place <= self.len {
            prefetch(&self.entries, self.origin + 8 * place);
            let left = self.origin + 2 * place;
            let right = self.rank(self.entries[left + 1]);
            let go_right = 2 * place < self.len && right < self.rank(self.entries[left]);
            let child = 2 * place + usize::from(go_right);
            let entry = self.entries[self.origin + child];
            if self.rank(entry) >= rank {
                break;
            }
            self.entries[self.origin + place] = entry;
            place = child;
        }
        self.entries[self.origin + place] = last;
        Some(first)
    }
}
