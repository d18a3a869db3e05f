//! The types of a tensor's elements.

use half::{bf16, f16};
use num_traits::{Float, FromPrimitive, NumAssign};
use std::{fmt::Debug, iter::Sum};

/// The type of a tensor's elements.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DType {
    /// IEEE 754 single precision, the type that networks compute in.
    F32,
    /// IEEE 754 half precision: storage only, computed on in `F32`.
    F16,
    /// The upper half of an `F32`: storage only, computed on in `F32`.
    BF16,
    /// IEEE 754 double precision, in which gradients are checked.
    F64,
    /// Bytes: masks.
    U8,
    /// Signed integers: labels and indices.
    I32,
}

impl DType {
    /// Bytes of one element.
    pub fn size(self) -> usize {
        match self {
            DType::U8 => 1,
            DType::F16 | DType::BF16 => 2,
            DType::F32 | DType::I32 => 4,
            DType::F64 => 8,
        }
    }

    /// The type's name in CUDA device code; `None` for what kernels do not take.
    pub fn cuda_name(self) -> Option<&'static str> {
        match self {
            DType::F32 => Some("f32"),
            DType::F16 => Some("f16"),
            DType::BF16 => Some("bf16"),
            DType::F64 | DType::U8 | DType::I32 => None,
        }
    }

    /// Whether this is a floating point type, so that gradients exist.
    pub fn is_real(self) -> bool {
        !matches!(self, DType::U8 | DType::I32)
    }
}

mod sealed {
    pub trait Sealed {}
}

/// A Rust type that a tensor can hold. Every bit pattern is a value of it, so that buffers can be reused.
pub trait Element: sealed::Sealed + Copy + Default + PartialEq + Debug + Send + Sync + 'static {
    /// The type's tag.
    const DTYPE: DType;
    /// The nearest value to `x`; out of range, the nearest end of it.
    fn of(x: f64) -> Self;
    /// This number as `f64`, exactly.
    fn wide(self) -> f64;
}

macro_rules! element {
    ($($t:ty => $tag:ident, $of:expr, $wide:expr;)*) => { $(
        impl sealed::Sealed for $t {}
        impl Element for $t {
            const DTYPE: DType = DType::$tag;
            // Both are called in the innermost loops of other crates, often with constants.
            #[inline(always)]
            fn of(x: f64) -> Self {
                $of(x)
            }
            #[inline(always)]
            fn wide(self) -> f64 {
                $wide(self)
            }
        }
    )* };
}
element! {
    f32 => F32, |x| x as f32, f64::from;
    f16 => F16, f16::from_f64, f64::from;
    bf16 => BF16, bf16::from_f64, f64::from;
    f64 => F64, |x| x, |x| x;
    u8 => U8, |x: f64| x.round() as u8, f64::from;
    i32 => I32, |x: f64| x.round() as i32, f64::from;
}

/// The types that operations compute in: `f32`, and `f64` for checking.
pub trait Real: Element + Float + FromPrimitive + NumAssign + Sum {
    /// `xs` itself where this type is `f32`: the way into kernels that exist for `f32` only.
    fn as_f32(xs: &[Self]) -> Option<&[f32]>;
    /// The mutable twin of [`Real::as_f32`].
    fn as_f32_mut(xs: &mut [Self]) -> Option<&mut [f32]>;
}

impl Real for f32 {
    fn as_f32(xs: &[f32]) -> Option<&[f32]> {
        Some(xs)
    }
    fn as_f32_mut(xs: &mut [f32]) -> Option<&mut [f32]> {
        Some(xs)
    }
}

impl Real for f64 {
    fn as_f32(_: &[f64]) -> Option<&[f32]> {
        None
    }
    fn as_f32_mut(_: &mut [f64]) -> Option<&mut [f32]> {
        None
    }
}

/// Runs `$body` with `$t` standing for the Rust type of `$dtype`: a data type is looked at once per operation.
macro_rules! dispatch {
    ($dtype:expr, $t:ident => $body:expr) => {
        match $dtype {
            $crate::DType::F32 => {
                type $t = f32;
                $body
            }
            $crate::DType::F16 => {
                type $t = half::f16;
                $body
            }
            $crate::DType::BF16 => {
                type $t = half::bf16;
                $body
            }
            $crate::DType::F64 => {
                type $t = f64;
                $body
            }
            $crate::DType::U8 => {
                type $t = u8;
                $body
            }
            $crate::DType::I32 => {
                type $t = i32;
                $body
            }
        }
    };
}
pub(crate) use dispatch;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_tell_the_size_of_their_type() {
        for d in [DType::F32, DType::F16, DType::BF16, DType::F64, DType::U8, DType::I32] {
            assert_eq!(dispatch!(d, T => (T::DTYPE, size_of::<T>())), (d, d.size()));
        }
    }

    #[test]
    fn conversion_rounds_and_saturates() {
        assert_eq!((u8::of(2.6), u8::of(-1.0), u8::of(1e9), i32::of(-1.5)), (3, 0, 255, -2));
        assert_eq!((f16::of(0.1).wide(), bf16::of(1.0 / 3.0).wide()), (0.0999755859375, 0.333984375));
    }
}
