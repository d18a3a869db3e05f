//! The types that a voxel can have.

use std::fmt;

/// The type of a volume's values as a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum DType {
    /// 8-bit unsigned integers.
    U8,
    /// 8-bit signed integers.
    I8,
    /// 16-bit unsigned integers.
    U16,
    /// 16-bit signed integers.
    I16,
    /// 32-bit unsigned integers.
    U32,
    /// 32-bit signed integers.
    I32,
    /// 64-bit unsigned integers.
    U64,
    /// 64-bit signed integers.
    I64,
    /// 32-bit floats.
    F32,
    /// 64-bit floats.
    F64,
}

impl DType {
    /// All of them, as a message lists them.
    pub(crate) const NAMES: &str = "u8, i8, u16, i16, u32, i32, u64, i64, f32, f64";

    /// The number of bytes of one value.
    pub fn bytes(self) -> usize {
        match self {
            Self::U8 | Self::I8 => 1,
            Self::U16 | Self::I16 => 2,
            Self::U32 | Self::I32 | Self::F32 => 4,
            Self::U64 | Self::I64 | Self::F64 => 8,
        }
    }

    /// The Rust name of the type.
    pub fn name(self) -> &'static str {
        match self {
            Self::U8 => "u8",
            Self::I8 => "i8",
            Self::U16 => "u16",
            Self::I16 => "i16",
            Self::U32 => "u32",
            Self::I32 => "i32",
            Self::U64 => "u64",
            Self::I64 => "i64",
            Self::F32 => "f32",
            Self::F64 => "f64",
        }
    }
}

impl fmt::Display for DType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A type of values that files can hold: the integers of 8 to 64 bits, `f32` and `f64`.
pub trait Voxel: sealed::Voxel {
    /// The type as a value.
    const DTYPE: DType;
}

pub(crate) mod sealed {
    use super::super::{AnyVolume, Volume};

    /// The largest whole number below which an `f32` misses none: 2^24.
    pub(crate) const LARGEST_F32_LABEL: u32 = 1 << f32::MANTISSA_DIGITS;

    /// What the codecs need to know of a type; hidden, so that other types stay out.
    pub trait Voxel: bytemuck::Pod + ndarray_npy::WritableElement + std::fmt::Debug + Send + Sync {
        /// The value in the other byte order.
        fn swap_bytes(self) -> Self;

        /// The nearest `f32`, unless that is infinite and the value is not.
        fn to_intensity(self) -> Option<f32>;

        /// The value as a label, if it is one without doubt.
        fn to_label(self) -> Option<u32>;

        /// The value for display, exact up to 2^53.
        fn to_f64(self) -> f64;

        /// The array as a volume that knows its type.
        fn wrap(volume: Volume<Self>) -> AnyVolume;
    }

    macro_rules! voxel {
        ($($type:ident $variant:ident, |$value:ident| $swapped:expr, $label:expr;)*) => {$(
            impl Voxel for $type {
                fn swap_bytes(self) -> Self {
                    let $value = self;
                    $swapped
                }

                fn to_intensity(self) -> Option<f32> {
                    let nearest = self as f32;
                    (nearest.is_finite() || !(self as f64).is_finite()).then_some(nearest)
                }

                fn to_label(self) -> Option<u32> {
                    let $value = self;
                    $label
                }

                fn to_f64(self) -> f64 {
                    self as f64
                }

                fn wrap(volume: Volume<Self>) -> AnyVolume {
                    AnyVolume::$variant(volume)
                }
            }

            impl super::Voxel for $type {
                const DTYPE: super::DType = super::DType::$variant;
            }
        )*};
    }

    voxel! {
        u8 U8, |v| v, Some(v.into());
        i8 I8, |v| v, v.try_into().ok();
        u16 U16, |v| u16::swap_bytes(v), Some(v.into());
        i16 I16, |v| i16::swap_bytes(v), v.try_into().ok();
        u32 U32, |v| u32::swap_bytes(v), Some(v);
        i32 I32, |v| i32::swap_bytes(v), v.try_into().ok();
        u64 U64, |v| u64::swap_bytes(v), v.try_into().ok();
        i64 I64, |v| i64::swap_bytes(v), v.try_into().ok();
        f32 F32, |v| f32::from_bits(v.to_bits().swap_bytes()), whole_number(f64::from(v), LARGEST_F32_LABEL);
        f64 F64, |v| f64::from_bits(v.to_bits().swap_bytes()), whole_number(v, u32::MAX);
    }

    /// The label `value`, if it is a whole number from 0 to `most`.
    fn whole_number(value: f64, most: u32) -> Option<u32> {
        // The cast is exact: the conditions leave only values that u32 holds.
        (value >= 0.0 && value <= f64::from(most) && value.fract() == 0.0).then_some(value as u32)
    }
}
