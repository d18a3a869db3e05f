//! A volume whose type only the file knows, and its conversions.

use std::path::{Path, PathBuf};

use ndarray::Array3;

use super::{
    DType, Spacing, Volume, Voxel,
    sealed::{self, LARGEST_F32_LABEL},
};
use crate::{Error, Result};

/// A volume of any type that files hold.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum AnyVolume {
    /// 8-bit unsigned integers.
    U8(Volume<u8>),
    /// 8-bit signed integers.
    I8(Volume<i8>),
    /// 16-bit unsigned integers.
    U16(Volume<u16>),
    /// 16-bit signed integers.
    I16(Volume<i16>),
    /// 32-bit unsigned integers.
    U32(Volume<u32>),
    /// 32-bit signed integers.
    I32(Volume<i32>),
    /// 64-bit unsigned integers.
    U64(Volume<u64>),
    /// 64-bit signed integers.
    I64(Volume<i64>),
    /// 32-bit floats.
    F32(Volume<f32>),
    /// 64-bit floats.
    F64(Volume<f64>),
}

/// Runs `$body` with the typed volume as `$volume`, whatever its type.
macro_rules! with_volume {
    ($any:expr, $volume:ident => $body:expr) => {
        match $any {
            AnyVolume::U8($volume) => $body,
            AnyVolume::I8($volume) => $body,
            AnyVolume::U16($volume) => $body,
            AnyVolume::I16($volume) => $body,
            AnyVolume::U32($volume) => $body,
            AnyVolume::I32($volume) => $body,
            AnyVolume::U64($volume) => $body,
            AnyVolume::I64($volume) => $body,
            AnyVolume::F32($volume) => $body,
            AnyVolume::F64($volume) => $body,
        }
    };
}
pub(super) use with_volume;

impl AnyVolume {
    /// The type of the values.
    pub fn dtype(&self) -> DType {
        fn of<T: Voxel>(_: &Volume<T>) -> DType {
            T::DTYPE
        }
        with_volume!(self, volume => of(volume))
    }

    /// The lengths `[z, y, x]` in voxels.
    pub fn shape(&self) -> [usize; 3] {
        with_volume!(self, volume => volume.shape())
    }

    /// The size of a voxel, where the file says it.
    pub fn spacing(&self) -> Option<Spacing> {
        with_volume!(self, volume => volume.spacing)
    }

    /// The volume's name.
    pub fn name(&self) -> &str {
        with_volume!(self, volume => &volume.name)
    }

    /// The values as intensities, rounded to the nearest `f32` where they have more digits.
    ///
    /// # Errors
    /// [`Error::Conversion`] if a finite value is too large for `f32`.
    pub fn into_f32(self) -> Result<Volume<f32>> {
        let path = PathBuf::from(self.name());
        self.into_f32_of(&path, [0; 3])
    }

    /// The values as labels, 0 being the background.
    ///
    /// Floats are accepted where all of them are whole numbers, as some programs store labels so.
    ///
    /// # Errors
    /// [`Error::Conversion`] if a value is negative, not a whole number, not a number at all, more than `u32`
    /// holds, or an `f32` beyond 2^24, where neighbouring labels can no longer be told apart.
    pub fn into_labels(self) -> Result<Volume<u32>> {
        let path = PathBuf::from(self.name());
        self.into_labels_of(&path, [0; 3])
    }

    /// [`into_f32`](Self::into_f32) of the part of a file that begins at voxel `origin`.
    pub(super) fn into_f32_of(self, path: &Path, origin: [usize; 3]) -> Result<Volume<f32>> {
        match self {
            Self::F32(volume) => Ok(volume),
            other => with_volume!(other, volume => intensities(volume, path, origin)),
        }
    }

    /// [`into_labels`](Self::into_labels) of the part of a file that begins at voxel `origin`.
    pub(super) fn into_labels_of(self, path: &Path, origin: [usize; 3]) -> Result<Volume<u32>> {
        match self {
            Self::U32(volume) => Ok(volume),
            other => with_volume!(other, volume => labels(volume, path, origin)),
        }
    }
}

fn intensities<T: Voxel>(volume: Volume<T>, path: &Path, origin: [usize; 3]) -> Result<Volume<f32>> {
    convert(volume, path, origin, sealed::Voxel::to_intensity, |value, place| {
        format!("the value {value:?} at {place} is beyond the range of 32-bit floats; rescale the volume")
    })
}

fn labels<T: Voxel>(volume: Volume<T>, path: &Path, origin: [usize; 3]) -> Result<Volume<u32>> {
    convert(volume, path, origin, sealed::Voxel::to_label, |value, place| {
        if matches!(T::DTYPE, DType::U64 | DType::I64) && value.to_f64() > 0.0 {
            return format!(
                "the label {value:?} at {place} does not fit into 32 bits; renumber the labels first"
            );
        }
        format!(
            "the value {value:?} at {place} is no label; labels are whole numbers from 0 to {}; \
             is this an image instead of a label volume?",
            largest_label::<T>()
        )
    })
}

/// The largest label that values of the type can hold without doubt.
fn largest_label<T: Voxel>() -> u32 {
    if T::DTYPE == DType::F32 { LARGEST_F32_LABEL } else { u32::MAX }
}

/// Converts each value, or names the first that cannot be converted.
fn convert<T: Voxel, U>(
    volume: Volume<T>,
    path: &Path,
    origin: [usize; 3],
    value: impl Fn(T) -> Option<U>,
    problem: impl Fn(T, String) -> String,
) -> Result<Volume<U>> {
    let Volume { data, spacing, name } = volume;
    let shape = data.dim();
    let converted: Option<Vec<U>> = data.iter().map(|&old| value(old)).collect();
    match converted.and_then(|values| Array3::from_shape_vec(shape, values).ok()) {
        Some(data) => Ok(Volume { data, spacing, name }),
        None => {
            let first = data.indexed_iter().find(|&(_, &old)| value(old).is_none());
            let problem = first.map(|((z, y, x), old)| {
                let [z, y, x] = [z + origin[0], y + origin[1], x + origin[2]];
                problem(*old, format!("(z, y, x) = ({z}, {y}, {x})"))
            });
            Err(Error::Conversion { path: path.into(), problem: problem.unwrap_or_default() })
        }
    }
}
