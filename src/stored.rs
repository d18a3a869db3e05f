//! Volumes in files as `cellseg-post` reads and writes them in blocks: what need not fit into memory.

use crate::{Result, segmenter::post_spacing_of};
use cellseg_io::{self as io, Frame, Overwrite, ScratchVolume, VolumeReader, write_in_slabs};
use cellseg_post::{self as post, LabelSource, LabelStore, MapSource, Region, regions_in_blocks};
use ndarray::{Array3, ArrayView3, ArrayViewMut3};
use std::{ops::Range, path::Path};

type PostResult = std::result::Result<(), post::Error>;

/// The voxels of a slab, if a plane does not have more: with all that is made of them, some 0.3 GB.
const SLAB_VOXELS: usize = 1 << 25;

/// Blocks of whole planes, as files are read fastest, for a volume of `shape` (z, y, x).
pub fn slab(shape: [usize; 3]) -> [usize; 3] {
    let planes = SLAB_VOXELS / shape[1].saturating_mul(shape[2]).max(1);
    // Whole parts of a scratch volume, where that is possible.
    let part = ScratchVolume::<u32>::CHUNK[0];
    let planes = if planes > part { planes / part * part } else { planes.max(1) };
    [planes, shape[1].max(1), shape[2].max(1)]
}

/// The volume of a file as intensities or as labels.
#[derive(Clone, Copy)]
pub struct StoredVolume<'a>(pub &'a VolumeReader);

impl MapSource for StoredVolume<'_> {
    fn shape(&self) -> [usize; 3] {
        self.0.info().shape
    }

    fn read(&self, origin: [usize; 3], mut into: ArrayViewMut3<f32>) -> PostResult {
        let part = self.0.part_f32(ranges(origin, into.dim())).map_err(storage)?;
        into.assign(&part.data);
        Ok(())
    }
}

impl LabelSource for StoredVolume<'_> {
    fn shape(&self) -> [usize; 3] {
        self.0.info().shape
    }

    fn read(&self, origin: [usize; 3], mut into: ArrayViewMut3<u32>) -> PostResult {
        let part = self.0.part_labels(ranges(origin, into.dim())).map_err(storage)?;
        into.assign(&part.data);
        Ok(())
    }
}

/// Labels that are being made, packed on the disk that they are to be written to.
#[derive(Debug)]
pub struct ScratchLabels(ScratchVolume<u32>);

impl ScratchLabels {
    /// Labels of `shape` (z, y, x), all 0, that [`write`](Self::write) will write to `output`.
    ///
    /// # Errors
    /// A folder that cannot be written to.
    pub fn beside(output: impl AsRef<Path>, shape: [usize; 3]) -> Result<Self> {
        Ok(Self(ScratchVolume::beside(output, shape)?))
    }

    /// Writes the labels, which go up to `count`, as [`io::write_labels`] does; `keep_on` is asked before each slab.
    ///
    /// # Errors
    /// Those of `keep_on`; a file that cannot be written, or exists and is not to be replaced.
    pub fn write(
        &self,
        output: impl AsRef<Path>,
        frame: &Frame,
        count: u32,
        overwrite: Overwrite,
        keep_on: impl Fn() -> io::Result<()>,
    ) -> Result<()> {
        let slab = |planes: Range<usize>| {
            keep_on()?;
            let mut ids = Array3::zeros([planes.len(), frame.shape[1], frame.shape[2]]);
            self.0.read([planes.start, 0, 0], ids.view_mut())?;
            Ok(ids)
        };
        let written = if count <= u32::from(u16::MAX) {
            write_in_slabs(output, frame, overwrite, |planes| Ok(slab(planes)?.mapv(|id| id as u16)))
        } else {
            write_in_slabs(output, frame, overwrite, slab)
        };
        Ok(written?)
    }
}

impl LabelSource for ScratchLabels {
    fn shape(&self) -> [usize; 3] {
        self.0.shape()
    }

    fn read(&self, origin: [usize; 3], into: ArrayViewMut3<u32>) -> PostResult {
        self.0.read(origin, into).map_err(storage)
    }
}

impl LabelStore for ScratchLabels {
    fn write(&mut self, origin: [usize; 3], labels: ArrayView3<u32>) -> PostResult {
        self.0.write(origin, labels).map_err(storage)
    }
}

/// [`measure`](crate::measure()) of labels that are read slab by slab, in micrometres if `spacing` is known.
///
/// # Errors
/// Those of [`measure`](crate::measure()); files that cannot be read.
pub fn measure_stored(
    labels: &impl LabelSource,
    image: Option<&dyn MapSource>,
    spacing: Option<io::Spacing>,
) -> Result<Vec<Region>> {
    let block = slab(labels.shape());
    Ok(regions_in_blocks(labels, image, block, post_spacing_of(spacing)?)?)
}

fn ranges(origin: [usize; 3], (z, y, x): (usize, usize, usize)) -> [Range<usize>; 3] {
    std::array::from_fn(|axis| origin[axis]..origin[axis] + [z, y, x][axis])
}

fn storage(error: io::Error) -> post::Error {
    post::Error::Storage { message: error.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slab_has_voxels_whatever_the_volume_has() {
        for shape in [[0, 0, 0], [3, 0, 5], [3, 5, 0], [0, 5, 5], [1, 1 << 20, 1 << 20]] {
            assert!(!slab(shape).contains(&0), "{shape:?}");
        }
    }
}
