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
    cut: Cut,
    current: usize,
    /// How many voxels came to the heap.
    arrivals: u32,
    /// Whether the current slice is in the heap instead of its list.
    heaped: bool,
}

/// How heights are cut into slices.
enum Cut {
    /// Into slices of one height each.
    Evenly { lowest: f32, slices_per_height: f32 },
    /// Into slices of about as many voxels each. For the upper half of a height's key the first slice of the heights that
    /// have it, and how many they have.
    ByShare(Vec<(u32, u32)>),
}

impl Cut {
    #[inline]
    fn slice(&self, level: f32) -> usize {
        match self {
            // The cast turns the NaN of a flat landscape (0 times infinity) into slice 0.
            Self::Evenly { lowest, slices_per_height } => ((level - lowest) * slices_per_height) as usize,
            Self::ByShare(table) => {
                let key = key(level);
                let (first, slices) = table[(key >> 16) as usize];
                first as usize + ((u64::from(key & 0xffff) * u64::from(slices)) >> 16) as usize
            }
        }
    }
}

/// A slice of a large flood has about so many voxels: few enough for a small heap, and one number and a half a voxel.
const SHARE: u64 = 16;

impl Front {
    /// An empty queue over the few voxels of `values`, which number places in `heights` and `next`.
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
        let cut = Cut::Evenly { lowest, slices_per_height: slices as f32 / (highest - lowest) };
        self.queue(heights, next, cut, slices)
    }

    /// The same for many voxels, whose heights may be crowded in a small part of their range.
    pub(super) fn over_many<'a>(
        &'a mut self,
        heights: &'a [f32],
        next: &'a mut [u32],
        values: impl Iterator<Item = f32>,
    ) -> Queue<'a> {
        let mut counts = vec![0u64; 1 << 16];
        values.for_each(|value| counts[(key(value) >> 16) as usize] += 1);
        let mut slices = 0u32;
        let table = counts
            .iter()
            .map(|&count| {
                // Fewer than 2^32 voxels have fewer slices.
                let own = count.div_ceil(SHARE) as u32;
                slices += own;
                (slices - own, own)
            })
            .collect();
        self.queue(heights, next, Cut::ByShare(table), slices as usize)
    }

    fn queue<'a>(
        &'a mut self,
        heights: &'a [f32],
        next: &'a mut [u32],
        cut: Cut,
        slices: usize,
    ) -> Queue<'a> {
        self.slices.clear();
        self.slices.resize(slices.max(1), EMPTY);
        self.heap.clear();
        Queue { front: self, heights, next, cut, current: 0, arrivals: 0, heaped: false }
    }
}

impl Queue<'_> {
    /// Adds a voxel; `level` must not be below that of the voxel taken last.
    #[inline]
    pub(super) fn push(&mut self, voxel: u32, level: f32) {
        let slice = self.cut.slice(level).min(self.front.slices.len() - 1).max(self.current);
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
        if self.heaped {
            return self.front.heap.peek().map(|Reverse((_, voxel))| *voxel);
        }
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
