//! The flood's front: a priority queue of voxels by (level, arrival).
//!
//! Levels never fall, so heights are cut into slices and the slices flooded one after another. A slice is a list in the
//! order of arrival, linked through one number a voxel, since a voxel enters once. In a slice of one height that list is
//! the order sought, so levels that repeat, as those of distances do, cost no comparison. Only a slice of several heights
//! needs a heap while it is flooded. The order is that of one large heap, at a fraction of its time and cache misses.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use crate::float_order::{key, value_of};

/// The end of a list.
const END: u32 = u32::MAX;

/// At most so many slices.
const MOST_SLICES: usize = 1 << 14;

/// Room for a queue, used again and again.
#[derive(Default)]
pub(super) struct Front {
    slices: Vec<Slice>,
    heap: BinaryHeap<Reverse<(u64, u32)>>,
}

#[derive(Clone, Copy)]
struct Slice {
    first: u32,
    last: u32,
    /// The first voxel's level.
    level: f32,
    /// Whether another one has another level.
    mixed: bool,
}

const EMPTY: Slice = Slice { first: END, last: END, level: 0.0, mixed: false };

/// A queue over voxels whose heights are given.
pub(super) struct Queue<'a> {
    front: &'a mut Front,
    heights: &'a [f32],
    next: &'a mut [u32],
    lowest: f32,
    slices_per_height: f32,
    current: usize,
    /// How many voxels came to the heap.
    arrivals: u32,
    /// Whether the current slice is in the heap instead of its list.
    heaped: bool,
}

impl Front {
    /// An empty queue over the voxels of `values`, which number places in `heights` and `next`.
    pub(super) fn over<'a>(
        &'a mut self,
        heights: &'a [f32],
        next: &'a mut [u32],
        values: impl Iterator<Item = f32>,
    ) -> Queue<'a> {
        let (mut lowest, mut highest, mut count) = (f32::MAX, f32::MIN, 0usize);
        for value in values {
            (lowest, highest) = (lowest.min(value), highest.max(value));
            count += 1;
        }
        let slices = count.next_power_of_two().min(MOST_SLICES);
        self.slices.clear();
        self.slices.resize(slices, EMPTY);
        self.heap.clear();
        let slices_per_height = slices as f32 / (highest - lowest);
        Queue {
            front: self,
            heights,
            next,
            lowest,
            slices_per_height,
            current: 0,
            arrivals: 0,
            heaped: false,
        }
    }
}

impl Queue<'_> {
    /// Adds a voxel; `level` must not be below that of the voxel taken last.
    #[inline]
    pub(super) fn push(&mut self, voxel: u32, level: f32) {
        // The cast turns the NaN of a flat landscape (0 times infinity) into slice 0.
        let slice = ((level - self.lowest) * self.slices_per_height) as usize;
        let slice = slice.min(self.front.slices.len() - 1).max(self.current);
        if slice == self.current && self.heaped {
            self.push_to_heap(voxel, level);
            return;
        }
        let list = &mut self.front.slices[slice];
        self.next[voxel as usize] = END;
        if list.first == END {
            *list = Slice { first: voxel, last: voxel, level, mixed: false };
        } else {
            list.mixed |= list.level != level;
            self.next[list.last as usize] = voxel;
            list.last = voxel;
        }
        if slice == self.current && list.mixed {
            // All that is there was raised to the list's level at least, or is a seed.
            let floor = level.min(list.level);
            self.heap_up(floor);
        }
    }

    /// Takes the voxel of the lowest level that came first, with its level.
    #[inline]
    pub(super) fn pop(&mut self) -> Option<(u32, f32)> {
        loop {
            if self.heaped {
                if let Some(Reverse((order, voxel))) = self.front.heap.pop() {
                    return Some((voxel, value_of((order >> 32) as u32)));
                }
                self.heaped = false;
            }
            let list = self.front.slices.get_mut(self.current)?;
            if list.first == END {
                self.current += 1;
            } else if list.mixed {
                // Nothing was raised into a slice that was not yet flooded.
                self.heap_up(f32::MIN);
            } else {
                let voxel = list.first;
                list.first = self.next[voxel as usize];
                return Some((voxel, list.level));
            }
        }
    }

    /// A voxel that will be taken soon, if it is easily known.
    #[inline]
    pub(super) fn upcoming(&self) -> Option<u32> {
        let list = self.front.slices.get(self.current)?;
        Some(list.first).filter(|&first| first != END)
    }

    /// Moves the current slice from its list into the heap; a voxel's level is its height, or `floor` if that is higher.
    fn heap_up(&mut self, floor: f32) {
        let list = std::mem::replace(&mut self.front.slices[self.current], EMPTY);
        self.heaped = true;
        let mut voxel = list.first;
        while voxel != END {
            self.push_to_heap(voxel, self.heights[voxel as usize].max(floor));
            voxel = self.next[voxel as usize];
        }
    }

    fn push_to_heap(&mut self, voxel: u32, level: f32) {
        self.front.heap.push(Reverse((u64::from(key(level)) << 32 | u64::from(self.arrivals), voxel)));
        self.arrivals += 1;
    }
}
