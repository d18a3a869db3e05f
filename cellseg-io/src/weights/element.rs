//! The types of stored numbers, and their values as `f32`.

/// How a number is stored, in little-endian order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Element {
    F16,
    BF16,
    F32,
    F64,
    I8,
    I16,
    I32,
    I64,
    U8,
    U16,
    U32,
    U64,
    Bool,
}

impl Element {
    /// The number of bytes of one number.
    pub(super) fn bytes(self) -> usize {
        match self {
            Self::I8 | Self::U8 | Self::Bool => 1,
            Self::F16 | Self::BF16 | Self::I16 | Self::U16 => 2,
            Self::F32 | Self::I32 | Self::U32 => 4,
            Self::F64 | Self::I64 | Self::U64 => 8,
        }
    }

    /// The numbers in `bytes` as `f32`; a number that `f32` does not hold is given as text.
    ///
    /// Integers must be exact: who counts to 2^24 and beyond wants to go on from the same number.
    pub(super) fn to_f32(self, bytes: &[u8]) -> Result<Vec<f32>, String> {
        match self {
            Self::F16 => Ok(each(bytes, |b| half::f16::from_le_bytes(b).to_f32())),
            Self::BF16 => Ok(each(bytes, |b| half::bf16::from_le_bytes(b).to_f32())),
            Self::F32 => Ok(each(bytes, f32::from_le_bytes)),
            Self::F64 => each(bytes, |b| narrow(f64::from_le_bytes(b))).into_iter().collect(),
            Self::I8 => Ok(each(bytes, |b| f32::from(i8::from_le_bytes(b)))),
            Self::I16 => Ok(each(bytes, |b| f32::from(i16::from_le_bytes(b)))),
            Self::I32 => each(bytes, |b| exact(i32::from_le_bytes(b).into())).into_iter().collect(),
            Self::I64 => each(bytes, |b| exact(i64::from_le_bytes(b).into())).into_iter().collect(),
            Self::U8 => Ok(each(bytes, |b| f32::from(u8::from_le_bytes(b)))),
            Self::U16 => Ok(each(bytes, |b| f32::from(u16::from_le_bytes(b)))),
            Self::U32 => each(bytes, |b| exact(u32::from_le_bytes(b).into())).into_iter().collect(),
            Self::U64 => each(bytes, |b| exact(u64::from_le_bytes(b).into())).into_iter().collect(),
            Self::Bool => Ok(each(bytes, |[b]: [u8; 1]| f32::from(u8::from(b != 0)))),
        }
    }
}

/// The value of each group of `N` bytes.
fn each<const N: usize, T>(bytes: &[u8], value: impl Fn([u8; N]) -> T) -> Vec<T> {
    bytes.as_chunks().0.iter().map(|&group| value(group)).collect()
}

fn exact(integer: i128) -> Result<f32, String> {
    let nearest = integer as f32;
    if nearest as i128 == integer { Ok(nearest) } else { Err(integer.to_string()) }
}

fn narrow(value: f64) -> Result<f32, String> {
    let nearest = value as f32;
    if nearest.is_finite() || !value.is_finite() { Ok(nearest) } else { Err(format!("{value:e}")) }
}
