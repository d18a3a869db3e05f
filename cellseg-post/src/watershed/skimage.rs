//! The flood with scikit-image's heap.
//!
//! In `skimage.segmentation.watershed` seeds enter the heap together; which of equal ones leaves first follows from where
//! they lie in it, and so from everything that has moved through it. This is that heap: binary, swaps towards the
//! smaller child, compared by (level, arrival). With compactness or lines a voxel is labelled when it leaves the heap and
//! may enter it several times; otherwise when it enters.

use super::{Flood, Map};
use crate::float_order::key;
use crate::grid::{Around, Grid, Neighbourhood};
use crate::memory::{prefetch, zeros};

/// Floods the whole map; `ids` must be 0.
pub(super) fn flood(map: &Map, flood: &Flood, ids: &mut [u32]) {
    let hood = Neighbourhood::new(map.grid, flood.connectivity);
    for ((id, &seed), &inside) in ids.iter_mut().zip(map.seeds).zip(map.inside) {
        *id = if inside { seed } else { 0 };
    }
    if flood.compactness > 0.0 || flood.line {
        label_leaving(map, flood, &hood, ids);
    } else {
        label_entering(map, &hood, ids);
    }
}

fn label_entering(map: &Map, hood: &Neighbourhood, ids: &mut [u32]) {
    let mut seeds = 0u32;
    let most = map.inside.iter().filter(|inside| **inside).count();
    let mut voxels = Vec::with_capacity(most);
    let mut heap = KeyHeap::new(most);
    for (index, _) in ids.iter().enumerate().filter(|(_, id)| **id != 0) {
        voxels.push(index as u32);
        seeds += 1;
    }
    heap.seeds = seeds;
    for (arrival, &index) in voxels.iter().enumerate() {
        heap.push(u64::from(key(map.heights[index as usize])) << 32 | arrival as u64);
    }
    while let Some(entry) = heap.pop() {
        let level = entry >> 32;
        let index = voxels[entry as u32 as usize] as usize;
        for &next in heap.next() {
            map.fetch_around(ids, voxels[next as u32 as usize] as usize);
        }
        let id = ids[index];
        hood.each(index, |other| {
            if map.inside[other] && ids[other] == 0 {
                ids[other] = id;
                let level = u64::from(key(map.heights[other])).max(level);
                heap.push(level << 32 | voxels.len() as u64);
                voxels.push(other as u32);
            }
        });
    }
}

/// The heap of voxels that are labelled when they enter.
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

/// A voxel that waits to be labelled.
#[derive(Clone, Copy)]
struct Waiting {
    level: f64,
    arrival: u64,
    index: u32,
    /// The voxel of the seed that its flood began at.
    source: u32,
}

impl Waiting {
    fn before(&self, other: &Self) -> bool {
        self.level < other.level || (self.level == other.level && self.arrival < other.arrival)
    }
}

fn label_leaving(map: &Map, flood: &Flood, hood: &Neighbourhood, ids: &mut [u32]) {
    let mut heap = Heap { entries: Vec::new() };
    let compact = flood.compactness > 0.0;
    let mut on_line = vec![false; if flood.line { ids.len() } else { 0 }];
    let mut arrival = 0u64;
    for (index, _) in ids.iter().enumerate().filter(|(_, id)| **id != 0) {
        let level = f64::from(map.heights[index] + 0.0);
        heap.push(Waiting { level, arrival: 0, index: index as u32, source: index as u32 });
    }
    while let Some(Waiting { level, index, source, .. }) = heap.pop() {
        let here = index as usize;
        if ids[here] != 0 && index != source {
            continue;
        }
        let id = ids[source as usize];
        // The flood goes on beyond a voxel of the line; with compactness scikit-image draws none.
        if !compact && on_line_of(here, id, hood, ids, &on_line) {
            on_line[here] = true;
        } else {
            ids[here] = id;
        }
        hood.each(here, |other| {
            if !map.inside[other] || ids[other] != 0 || on_line.get(other) == Some(&true) {
                return;
            }
            arrival += 1;
            let mut own = f64::from(map.heights[other] + 0.0);
            if compact {
                let (a, b) = (map.grid.position(other), map.grid.position(source as usize));
                let squared: f64 = a.iter().zip(b).map(|(a, b)| (a.abs_diff(b) as f64).powi(2)).sum();
                own += flood.compactness * squared.sqrt();
            }
            heap.push(Waiting { level: own.max(level), arrival, index: other as u32, source });
        });
    }
}

/// Whether a voxel reached by the flood of `id` lies beside another one's, or is on a line already.
///
/// `on_line` is empty if no lines are drawn.
fn on_line_of(voxel: usize, id: u32, hood: &Neighbourhood, ids: &[u32], on_line: &[bool]) -> bool {
    on_line.get(voxel).is_some_and(|&drawn| {
        drawn || !hood.all(voxel, |other| on_line[other] || ids[other] == 0 || ids[other] == id)
    })
}

/// A binary heap, the smallest entry first, whose layout is that of scikit-image's.
struct Heap {
    entries: Vec<Waiting>,
}

impl Heap {
    fn push(&mut self, entry: Waiting) {
        let mut place = self.entries.len();
        self.entries.push(entry);
        while place > 0 {
            let parent = (place - 1) / 2;
            if !entry.before(&self.entries[parent]) {
                break;
            }
            self.entries[place] = self.entries[parent];
            place = parent;
        }
        self.entries[place] = entry;
    }

    fn pop(&mut self) -> Option<Waiting> {
        let first = *self.entries.first()?;
        let last = self.entries.pop()?;
        let entries = &mut self.entries[..];
        if entries.is_empty() {
            return Some(first);
        }
        // As in `KeyHeap`.
        let mut place = 0;
        loop {
            let left = 2 * place + 1;
            let child = match entries.get(left..left + 2) {
                Some(pair) => left + usize::from(pair[1].before(&pair[0])),
                None if left < entries.len() => left,
                None => break,
            };
            if !entries[child].before(&last) {
                break;
            }
            entries[place] = entries[child];
            place = child;
        }
        entries[place] = last;
        Some(first)
    }
}
