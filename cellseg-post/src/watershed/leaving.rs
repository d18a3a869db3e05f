//! The flood whose voxels are labelled when they leave the queue, for compact objects and for lines.
//!
//! A voxel may be queued several times. `skimage.segmentation.watershed` puts all seeds into a binary heap together; which
//! of equal ones leaves first follows from where they lie in it, and so from everything that has moved through it. This is
//! that heap: swaps towards the smaller child, of two equal ones the left, compared by (level, arrival).

use super::{Flood, Map};
use crate::grid::{Around, Neighbourhood};

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

/// Floods the whole map; `ids` must be 0.
pub(super) fn flood(map: &Map, flood: &Flood, ids: &mut [u32]) {
    let hood = &Neighbourhood::new(map.grid, flood.connectivity);
    for ((id, &seed), &inside) in ids.iter_mut().zip(map.seeds).zip(map.inside) {
        *id = if inside { seed } else { 0 };
    }
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
        // The last entry sinks from the top.
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
