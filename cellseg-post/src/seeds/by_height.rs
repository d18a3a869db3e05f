//! Voxels by falling height.

use crate::float_order::{key, value_of};

/// Below this number of voxels a comparison sort is faster.
const FEW: usize = 96;

/// Room to sort voxels by height, used again and again.
#[derive(Default)]
pub(super) struct ByHeight {
    /// The negated key of the height above the voxel's index.
    entries: Vec<u64>,
    other: Vec<u64>,
}

impl ByHeight {
    pub(super) fn clear(&mut self) {
        self.entries.clear();
    }

    /// Adds voxels, given by height and index below 2^32, in rising order of their indices.
    pub(super) fn extend(&mut self, voxels: impl Iterator<Item = (f32, usize)>) {
        self.entries.extend(voxels.map(|(height, index)| u64::from(!key(height)) << 32 | index as u64));
    }

    /// The voxels by falling height, equal ones by rising index.
    pub(super) fn falling(&mut self) -> impl Iterator<Item = (f32, usize)> {
        if self.entries.len() < FEW {
            self.entries.sort_unstable();
        } else {
            self.sort_by_digits();
        }
        self.entries.iter().map(|entry| (value_of(!((entry >> 32) as u32)), *entry as u32 as usize))
    }

    /// Radix sort from the lowest digit of the keys on; it keeps the order of equal ones.
    fn sort_by_digits(&mut self) {
        let digit = |entry: u64, place: usize| (entry >> (32 + 8 * place)) as usize & 0xff;
        let mut counts = [[0u32; 256]; 4];
        for &entry in &self.entries {
            for (place, counts) in counts.iter_mut().enumerate() {
                counts[digit(entry, place)] += 1;
            }
        }
        self.other.clear();
        self.other.resize(self.entries.len(), 0);
        for (place, counts) in counts.iter().enumerate() {
            if counts.iter().any(|&count| count as usize == self.entries.len()) {
                continue;
            }
            let mut next = 0u32;
            let mut places = counts.map(|count| {
                next += count;
                next - count
            });
            for &entry in &self.entries {
                let place = &mut places[digit(entry, place)];
                self.other[*place as usize] = entry;
                *place += 1;
            }
            std::mem::swap(&mut self.entries, &mut self.other);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn the_order_is_that_of_a_stable_sort(
            heights in prop::collection::vec(prop_oneof![-1e30f32..1e30, (0u8..4).prop_map(f32::from)], 0..400),
        ) {
            let mut order = ByHeight::default();
            order.extend(heights.iter().enumerate().map(|(index, &height)| (height, index)));
            let mut expected: Vec<(f32, usize)> =
                heights.iter().enumerate().map(|(index, &height)| (height, index)).collect();
            expected.sort_by(|a, b| b.0.total_cmp(&a.0));
            prop_assert_eq!(order.falling().collect::<Vec<_>>(), expected);
        }
    }
}
