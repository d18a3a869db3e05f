//! How many objects lie in each region of an atlas.

use ndarray::ArrayView3;
use rustc_hash::FxHashMap;

use super::{Cell, Region, Table};
use crate::{Error, Spacing, regions};

/// What lies in one region of an atlas.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AtlasCount {
    /// The region's id in the atlas; 0 is outside of all.
    pub id: u32,
    /// The objects whose centroid lies in it.
    pub objects: u64,
    /// Their volume together in cubic micrometres.
    pub object_volume: f64,
    /// The region's volume in cubic micrometres.
    pub volume: f64,
}

impl AtlasCount {
    /// Objects in a cubic millimetre of the region.
    pub fn density(&self) -> f64 {
        self.objects as f64 / (self.volume * 1e-9)
    }
}

/// Counts objects in the regions of `atlas`, labels (z, y, x) of the same grid as those that were measured; by rising id.
///
/// An object belongs to the region that the voxel of its centroid lies in. Regions without objects are listed too, and
/// those outside of all regions under 0.
///
/// # Errors
/// [`Error::Argument`] if a centroid lies outside the atlas.
pub fn count_in_atlas(
    objects: &[Region],
    atlas: ArrayView3<u32>,
    spacing: Spacing,
) -> Result<Vec<AtlasCount>, Error> {
    let (nz, ny, nx) = atlas.dim();
    let measured = regions(atlas, None, spacing)?;
    let inside: f64 = measured.iter().map(|region| region.volume).sum();
    let outside = (atlas.len() as f64 * spacing.voxel_volume() - inside).max(0.0);
    let mut counts: FxHashMap<u32, AtlasCount> = measured
        .iter()
        .map(|region| (region.id, region.volume))
        .chain([(0, outside)])
        .map(|(id, volume)| (id, AtlasCount { id, objects: 0, object_volume: 0.0, volume }))
        .collect();
    for object in objects {
        let place = object.centroid_voxels.map(|index| index.round() as usize);
        let Some(count) = atlas.get(place).and_then(|id| counts.get_mut(id)) else {
            return Err(Error::Argument {
                name: "the atlas's shape (z, y, x)",
                given: format!("{:?}, without the centroid {place:?} of object {}", [nz, ny, nx], object.id),
                expected: "that of the labels: bring the atlas to their grid first",
            });
        };
        count.objects += 1;
        count.object_volume += object.volume;
    }
    let mut counts: Vec<AtlasCount> = counts.into_values().collect();
    counts.sort_unstable_by_key(|count| count.id);
    Ok(counts)
}

/// The counts as a table, one row a region.
pub fn atlas_table(counts: &[AtlasCount]) -> Table {
    let header = vec!["region", "objects", "object_volume_um3", "volume_um3", "objects_per_mm3"];
    let row = |count: &AtlasCount| {
        vec![
            Cell::Count(u64::from(count.id)),
            Cell::Count(count.objects),
            Cell::Number(count.object_volume),
            Cell::Number(count.volume),
            Some(count.density()).filter(|density| density.is_finite()).into(),
        ]
    };
    Table { header, rows: counts.iter().map(row).collect() }
}
