//! Parts of volumes of any type.

use std::ops::Range;
use std::path::Path;

use ndarray::s;

use super::{AnyVolume, Volume, convert::with_volume, reader::check_part, write_volume};
use crate::{Overwrite, Result};

impl AnyVolume {
    /// The voxels in the ranges `[z, y, x]`, of the same type and spacing.
    ///
    /// # Errors
    /// [`crate::Error::Argument`] if a range is empty or ends outside the volume.
    pub fn part(&self, ranges: [Range<usize>; 3]) -> Result<Self> {
        check_part(Path::new(self.name()), self.shape(), &ranges)?;
        Ok(with_volume!(self, volume => cut(volume, ranges).into()))
    }

    /// Writes the volume in its own type, as [`write_volume`] does.
    ///
    /// # Errors
    /// As [`write_volume`].
    pub fn write(&self, path: impl AsRef<Path>, overwrite: Overwrite) -> Result<()> {
        with_volume!(self, volume => write_volume(path, volume, overwrite))
    }
}

fn cut<T: Clone>(volume: &Volume<T>, [z, y, x]: [Range<usize>; 3]) -> Volume<T> {
    Volume {
        data: volume.data.slice(s![z, y, x]).to_owned(),
        spacing: volume.spacing,
        name: volume.name.clone(),
    }
}

/// Makes a typed volume one of any type.
macro_rules! from_typed {
    ($($variant:ident: $type:ty),*) => {
        $(impl From<Volume<$type>> for AnyVolume {
            fn from(volume: Volume<$type>) -> Self {
                Self::$variant(volume)
            }
        })*
    };
}
from_typed!(U8: u8, I8: i8, U16: u16, I16: i16, U32: u32, I32: i32, U64: u64, I64: i64, F32: f32, F64: f64);

#[cfg(test)]
mod tests {
    use ndarray::Array3;

    use super::*;
    use crate::{DType, Spacing, read_any};

    #[test]
    fn a_part_keeps_type_and_spacing_and_comes_back_from_its_file() {
        let data = Array3::from_shape_fn((4, 5, 6), |(z, y, x)| (100 * z + 10 * y + x) as u16);
        let spacing = Spacing::new([2.0, 1.0, 0.5]).unwrap();
        let whole = AnyVolume::from(Volume::new(data, "v").with_spacing(spacing));
        let part = whole.part([1..3, 0..5, 5..6]).unwrap();
        assert_eq!((part.shape(), part.dtype(), part.spacing()), ([2, 5, 1], DType::U16, Some(spacing)));
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("v.tif");
        part.write(&path, Overwrite::Refuse).unwrap();
        assert_eq!(read_any(&path).unwrap(), part);
        for wrong in [[1..1, 0..5, 0..6], [0..4, 0..6, 0..6], [0..4, 0..5, 6..7]] {
            let error = whole.part(wrong).unwrap_err().to_string();
            assert!(error.contains("[4, 5, 6]"), "{error}");
        }
    }
}
