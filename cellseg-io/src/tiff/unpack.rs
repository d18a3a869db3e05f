//! Unpacking the data of a page: compression, predictor, byte order.

use std::io::{self, Read};

use super::problem::Problem;

/// How data are compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Codec {
    None,
    Lzw,
    Deflate,
    PackBits,
    Zstd,
}

/// How values were made smaller before they were compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Predictor {
    None,
    /// Each value less its left neighbour (TIFF 6.0, section 14).
    Horizontal,
    /// The bytes of all values of a row sorted by significance, each less its neighbour (Adobe TIFF technical
    /// note 3).
    Float,
}

impl Codec {
    /// The codec of a Compression tag.
    pub(super) fn of_tag(tag: u64) -> Result<Self, Problem> {
        match tag {
            1 => Ok(Self::None),
            5 => Ok(Self::Lzw),
            8 | 32_946 => Ok(Self::Deflate),
            32_773 => Ok(Self::PackBits),
            50_000 => Ok(Self::Zstd),
            other => {
                let name = match other {
                    6 | 7 => "JPEG ",
                    34_712 | 33_003 | 33_005 => "JPEG 2000 ",
                    34_887 => "LERC ",
                    34_925 => "LZMA ",
                    50_001 | 34_927 => "WebP ",
                    50_002 => "JPEG XL ",
                    _ => "",
                };
                let advice = "supported: none, deflate, LZW, zstd, PackBits; save the volume uncompressed";
                Err(Problem::Unsupported(
                    format!("the {name}TIFF compression (number {other})"),
                    advice.into(),
                ))
            }
        }
    }

    /// The most bytes that one stored byte can stand for, by the format of the compression.
    pub(super) fn most_bytes(self) -> u64 {
        match self {
            Self::None => 1,
            // Runs of at most 128 bytes in two.
            Self::PackBits => 64,
            // Matches of at most 258 bytes in no less than two bits.
            Self::Deflate => 1032,
            // Strings of at most 4096 bytes in no less than nine bits.
            Self::Lzw => 4096,
            // Blocks of at most 128 KiB in no less than four bytes.
            Self::Zstd => 32_768,
        }
    }

    /// Unpacks `packed` into all of `bytes`.
    pub(super) fn unpack(self, packed: &[u8], bytes: &mut [u8]) -> io::Result<()> {
        match self {
            Self::None => (&mut &*packed).read_exact(bytes),
            Self::Deflate => flate2::read::ZlibDecoder::new(packed).read_exact(bytes),
            Self::Zstd => zstd::stream::read::Decoder::with_buffer(packed)?.read_exact(bytes),
            Self::Lzw => unpack_lzw(packed, bytes),
            Self::PackBits => unpack_bits(packed, bytes),
        }
    }
}

fn unpack_lzw(packed: &[u8], bytes: &mut [u8]) -> io::Result<()> {
    let mut decoder = weezl::decode::Decoder::with_tiff_size_switch(weezl::BitOrder::Msb, 8);
    let (mut packed, mut filled) = (packed, 0);
    while filled < bytes.len() {
        let step = decoder.decode_bytes(packed, &mut bytes[filled..]);
        packed = &packed[step.consumed_in..];
        filled += step.consumed_out;
        match step.status {
            Ok(weezl::LzwStatus::Ok) => {}
            Ok(_) if filled < bytes.len() => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(_) => {}
            Err(error) => return Err(io::Error::new(io::ErrorKind::InvalidData, error)),
        }
    }
    Ok(())
}

/// PackBits (TIFF 6.0, section 9): `n >= 0` is followed by `n + 1` bytes, `n < 0` by one byte to be taken `1
/// - n` times.
fn unpack_bits(mut packed: &[u8], bytes: &mut [u8]) -> io::Result<()> {
    let mut rest = bytes;
    while !rest.is_empty() {
        let (&head, tail) = packed.split_first().ok_or(io::ErrorKind::UnexpectedEof)?;
        packed = tail;
        match head as i8 {
            -128 => {}
            count @ 0.. => {
                let count = (count as usize + 1).min(rest.len());
                let (run, tail) = packed.split_at_checked(count).ok_or(io::ErrorKind::UnexpectedEof)?;
                rest.split_off_mut(..count).unwrap_or_default().copy_from_slice(run);
                packed = tail;
            }
            count => {
                let (&value, tail) = packed.split_first().ok_or(io::ErrorKind::UnexpectedEof)?;
                let count = count.unsigned_abs() as usize + 1;
                rest.split_off_mut(..count.min(rest.len())).unwrap_or_default().fill(value);
                packed = tail;
            }
        }
    }
    Ok(())
}

impl Predictor {
    /// The predictor of a Predictor tag.
    pub(super) fn of_tag(tag: u64) -> Result<Self, Problem> {
        match tag {
            1 => Ok(Self::None),
            2 => Ok(Self::Horizontal),
            3 => Ok(Self::Float),
            other => Err(Problem::Unsupported(
                format!("the TIFF predictor {other}"),
                "supported: none, horizontal (2), floating point (3); save the volume uncompressed".into(),
            )),
        }
    }

    /// Turns a row of values of `N` bytes, as it was stored, into values in the byte order of this machine.
    pub(super) fn undo<const N: usize>(self, row: &mut [u8], big_endian: bool) {
        if self == Self::Float {
            for k in 1..row.len() {
                row[k] = row[k].wrapping_add(row[k - 1]);
            }
            let planes = row.to_vec();
            let count = row.len() / N;
            for (k, value) in row.as_chunks_mut::<N>().0.iter_mut().enumerate() {
                for (byte, target) in value.iter_mut().enumerate() {
                    *target = planes[byte * count + k];
                }
                if cfg!(target_endian = "little") {
                    value.reverse();
                }
            }
            return;
        }
        let values = row.as_chunks_mut::<N>().0;
        if big_endian != cfg!(target_endian = "big") {
            values.iter_mut().for_each(|value| value.reverse());
        }
        if self == Self::Horizontal {
            let mut left = 0u64;
            for value in values {
                let mut wide = [0; 8];
                wide[..N].copy_from_slice(&native_to_little(*value));
                left = left.wrapping_add(u64::from_le_bytes(wide));
                let mut narrow = [0; N];
                narrow.copy_from_slice(&left.to_le_bytes()[..N]);
                *value = native_to_little(narrow);
            }
        }
    }
}

/// Reverses the bytes on big-endian machines; its own inverse.
fn native_to_little<const N: usize>(mut value: [u8; N]) -> [u8; N] {
    if cfg!(target_endian = "big") {
        value.reverse();
    }
    value
}
