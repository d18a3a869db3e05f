//! Labels of 64 bits, as other programs write them, to and from the 32 bits that everything here works on.

use ndarray::{Array3, ArrayView3};
use rustc_hash::FxHashMap;

use crate::Error;

/// The same ids (z, y, x) with 64 bits, for programs that want them so; every id fits.
pub fn ids_to_u64(ids: ArrayView3<u32>) -> Array3<u64> {
    ids.mapv(u64::from)
}

/// The same ids (z, y, x) with 32 bits.
///
/// Ids too large for that become small ones with [`relabel_sequential_u64`].
///
/// # Errors
/// [`Error::IdTooLarge`] names the first voxel in raster order whose id is more than `u32::MAX`.
pub fn ids_from_u64(ids: ArrayView3<u64>) -> Result<Array3<u32>, Error> {
    if let Some(((z, y, x), &id)) = ids.indexed_iter().find(|(_, id)| **id > u64::from(u32::MAX)) {
        return Err(Error::IdTooLarge { position: [z, y, x], id });
    }
    // Exact: no id is larger.
    Ok(ids.mapv(|id| id as u32))
}

/// Ids renumbered by [`relabel_sequential_u64`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RelabelledU64 {
    /// The new id of each voxel (z, y, x).
    pub ids: Array3<u32>,
    /// The old id of each new one; entry 0 is 0.
    pub old_ids: Vec<u64>,
}

impl RelabelledU64 {
    /// The old ids (z, y, x) of volumes numbered as [`RelabelledU64::ids`], that one or one made from it.
    ///
    /// # Errors
    /// [`Error::Argument`] if there is an id that the relabelling did not give.
    pub fn restore(&self, ids: ArrayView3<u32>) -> Result<Array3<u64>, Error> {
        if let Some(&id) = ids.iter().find(|id| **id as usize >= self.old_ids.len()) {
            return Err(Error::Argument {
                name: "an id",
                given: format!(
                    "{id}, but the relabelling gave 0 to {}",
                    self.old_ids.len().saturating_sub(1)
                ),
                expected: "only ids that the relabelling gave",
            });
        }
        Ok(ids.mapv(|id| self.old_ids[id as usize]))
    }
}

/// Renumbers ids to 1, 2, ... keeping their order, as [`relabel_sequential`](crate::relabel_sequential) does, with
/// old ids of any size; 0 stays background.
///
/// # Errors
/// [`Error::TooManyLabels`] if there are more than `u32::MAX` different ids.
pub fn relabel_sequential_u64(ids: ArrayView3<u64>) -> Result<RelabelledU64, Error> {
    let mut new_ids: FxHashMap<u64, u32> = FxHashMap::default();
    // Neighbours mostly have the same id: the table is asked only where it changes.
    let mut last = 0;
    for &id in ids {
        if id != last {
            last = id;
            new_ids.insert(id, 0);
        }
    }
    new_ids.insert(0, 0);
    let mut old_ids: Vec<u64> = new_ids.keys().copied().collect();
    highest_new_id(old_ids.len() as u64)?;
    old_ids.sort_unstable();
    for (new, old) in (0..).zip(&old_ids) {
        new_ids.insert(*old, new);
    }
    let mut last = (0, 0);
    let dense = ids.mapv(|id| {
        if id != last.0 {
            last = (id, new_ids[&id]);
        }
        last.1
    });
    Ok(RelabelledU64 { ids: dense, old_ids })
}

/// The highest new id for so many old ones, background among them.
fn highest_new_id(old_ids: u64) -> Result<u32, Error> {
    let count = old_ids - 1;
    u32::try_from(count).map_err(|_| Error::TooManyLabels { count })
}

#[cfg(test)]
mod tests {
    use ndarray::{Array3, s};
    use proptest::prelude::*;

    use super::*;

    const MOST: u64 = u32::MAX as u64;

    fn volume(ids: [u64; 8]) -> Array3<u64> {
        Array3::from_shape_vec((2, 2, 2), ids.to_vec()).unwrap()
    }

    #[test]
    fn the_largest_id_of_32_bits_goes_both_ways() {
        let wide = volume([0, 1, MOST, MOST - 1, 0, 0, 7, MOST]);
        let narrow = ids_from_u64(wide.view()).unwrap();
        assert_eq!(narrow[[0, 1, 0]], u32::MAX);
        assert_eq!(ids_to_u64(narrow.view()), wide);
    }

    #[test]
    fn the_first_voxel_whose_id_does_not_fit_is_named() {
        let wide = volume([0, 1, MOST, 3, 0, MOST + 1, u64::MAX, 2]);
        let error = ids_from_u64(wide.view()).unwrap_err();
        assert_eq!(error, Error::IdTooLarge { position: [1, 0, 1], id: MOST + 1 });
        assert!(error.to_string().contains("4294967296"), "{error}");
    }

    #[test]
    fn first_means_raster_order_in_a_view_of_other_memory_order_too() {
        let wide = volume([0, MOST + 2, 0, 0, MOST + 1, 0, 0, 0]);
        let error = ids_from_u64(wide.view().reversed_axes()).unwrap_err();
        assert_eq!(error, Error::IdTooLarge { position: [0, 0, 1], id: MOST + 1 });
    }

    #[test]
    fn ids_beyond_32_bits_become_dense_in_their_order_and_come_back() {
        let wide = volume([u64::MAX, 0, MOST + 1, MOST, 5, 5, 0, u64::MAX]);
        let found = relabel_sequential_u64(wide.view()).unwrap();
        assert_eq!(found.old_ids, [0, 5, MOST, MOST + 1, u64::MAX]);
        assert_eq!(found.ids.as_slice().unwrap(), [4, 0, 3, 2, 1, 1, 0, 4]);
        assert_eq!(found.restore(found.ids.view()).unwrap(), wide);
    }

    #[test]
    fn a_volume_without_voxels_has_only_background() {
        let found = relabel_sequential_u64(Array3::zeros((0, 3, 3)).view()).unwrap();
        assert_eq!((found.ids.dim(), found.old_ids), ((0, 3, 3), vec![0]));
    }

    #[test]
    fn an_id_that_the_relabelling_did_not_give_is_refused() {
        let found = relabel_sequential_u64(volume([9; 8]).view()).unwrap();
        let error = found.restore(Array3::from_elem((1, 1, 1), 2).view()).unwrap_err();
        assert!(error.to_string().contains("0 to 1"), "{error}");
    }

    #[test]
    fn as_many_objects_as_32_bits_can_number_are_the_most() {
        assert_eq!(highest_new_id(MOST + 1), Ok(u32::MAX));
        assert_eq!(highest_new_id(MOST + 2), Err(Error::TooManyLabels { count: MOST + 1 }));
    }

    proptest! {
        #[test]
        fn ids_that_fit_are_renumbered_as_those_of_32_bits(
            ids in proptest::collection::vec(prop_oneof![0u32..6, Just(u32::MAX)], 60),
        ) {
            let ids = Array3::from_shape_vec((3, 4, 5), ids).unwrap();
            let view = ids.slice(s![.., ..;-1, ..]);
            let narrow = crate::relabel_sequential(view);
            let wide = relabel_sequential_u64(ids_to_u64(view).view()).unwrap();
            prop_assert_eq!(wide.ids, narrow.ids);
            prop_assert_eq!(wide.old_ids, narrow.old_ids.into_iter().map(u64::from).collect::<Vec<_>>());
        }
    }
}
