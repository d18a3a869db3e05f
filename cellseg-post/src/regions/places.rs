//! Looking objects up by their ids.

use rustc_hash::FxHashMap;

/// Ids below this are looked up in a table, others by their hash.
const TABLE: u32 = 1 << 22;

/// Where ids are in a list.
#[derive(Default)]
pub(super) struct Places {
    /// One more than the place of each id, 0 for none; as long as was needed.
    table: Vec<u32>,
    others: FxHashMap<u32, usize>,
}

impl Places {
    #[inline(always)]
    pub(super) fn of(&self, id: u32) -> Option<usize> {
        match self.table.get(id as usize) {
            Some(place) => (*place as usize).checked_sub(1),
            None if id < TABLE => None,
            None => self.others.get(&id).copied(),
        }
    }

    /// There are fewer ids than 2^32, so a place has 32 bits.
    pub(super) fn add(&mut self, id: u32, place: usize) {
        if id < TABLE {
            let entries = (id as usize + 1).next_power_of_two();
            self.table.resize(self.table.len().max(entries), 0);
            self.table[id as usize] = place as u32 + 1;
        } else {
            self.others.insert(id, place);
        }
    }
}
