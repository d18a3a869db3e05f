//! Directories and tags (TIFF 6.0, section 2; BigTIFF as libtiff defines it).

use std::{
    collections::BTreeMap,
    fs::File,
    io::{BufReader, Read, Seek, SeekFrom},
};

use super::problem::Problem;

/// The tags that are read.
pub(super) mod tag {
    pub(crate) const NEW_SUBFILE_TYPE: u16 = 254;
    pub(crate) const IMAGE_WIDTH: u16 = 256;
    pub(crate) const IMAGE_LENGTH: u16 = 257;
    pub(crate) const BITS_PER_SAMPLE: u16 = 258;
    pub(crate) const COMPRESSION: u16 = 259;
    pub(crate) const FILL_ORDER: u16 = 266;
    pub(crate) const IMAGE_DESCRIPTION: u16 = 270;
    pub(crate) const STRIP_OFFSETS: u16 = 273;
    pub(crate) const SAMPLES_PER_PIXEL: u16 = 277;
    pub(crate) const ROWS_PER_STRIP: u16 = 278;
    pub(crate) const STRIP_BYTE_COUNTS: u16 = 279;
    pub(crate) const X_RESOLUTION: u16 = 282;
    pub(crate) const Y_RESOLUTION: u16 = 283;
    pub(crate) const PLANAR_CONFIGURATION: u16 = 284;
    pub(crate) const RESOLUTION_UNIT: u16 = 296;
    pub(crate) const PREDICTOR: u16 = 317;
    pub(crate) const TILE_WIDTH: u16 = 322;
    pub(crate) const TILE_LENGTH: u16 = 323;
    pub(crate) const TILE_OFFSETS: u16 = 324;
    pub(crate) const TILE_BYTE_COUNTS: u16 = 325;
    pub(crate) const SAMPLE_FORMAT: u16 = 339;
    pub(crate) const IMAGE_DEPTH: u16 = 32_997;
}

/// An open TIFF.
pub(super) struct TiffFile {
    pub(super) reader: BufReader<File>,
    /// The length of the file: nothing in it can be longer.
    pub(super) bytes: u64,
    pub(super) big_endian: bool,
    big_tiff: bool,
}

/// One directory: its tags, not yet read where they are long.
pub(super) struct Directory {
    entries: BTreeMap<u16, Entry>,
}

struct Entry {
    kind: u16,
    count: u64,
    /// The value itself if it fits, else its offset in the file.
    inline: [u8; 8],
}

const RATIONAL: u16 = 5;

/// The number of bytes of a value of a tag's type; `None` for types that do not exist.
fn bytes_of(kind: u16) -> Option<u64> {
    match kind {
        1 | 2 | 6 | 7 => Some(1),
        3 | 8 => Some(2),
        4 | 9 | 11 | 13 => Some(4),
        RATIONAL | 10 | 12 | 16 | 17 | 18 => Some(8),
        _ => None,
    }
}

impl TiffFile {
    /// Reads the header; gives the file and the offset of its first directory.
    pub(super) fn open(file: File) -> Result<(Self, u64), Problem> {
        let bytes = file.metadata()?.len();
        let mut reader = BufReader::with_capacity(1 << 16, file);
        let mut head = [0; 4];
        reader.read_exact(&mut head)?;
        let big_endian = head[0] == b'M';
        let mut file = Self { reader, bytes, big_endian, big_tiff: false };
        file.big_tiff = file.integer(&head[2..]) == 43;
        if file.big_tiff && file.read_integer(4)? != if big_endian { 8 << 16 } else { 8 } {
            return Err(Problem::Corrupt("its BigTIFF header is none".into()));
        }
        let first = file.read_offset()?;
        Ok((file, first))
    }

    /// Reads the directory at `offset`; gives it and the offset of the next, 0 for none.
    pub(super) fn directory(&mut self, offset: u64) -> Result<(Directory, u64), Problem> {
        self.reader.seek(SeekFrom::Start(offset))?;
        let count = self.read_integer(if self.big_tiff { 8 } else { 2 })?;
        let mut entries = BTreeMap::new();
        // A count that lies meets the end of the file.
        for _ in 0..count {
            let (tag, kind) = (self.read_integer(2)? as u16, self.read_integer(2)? as u16);
            let width = if self.big_tiff { 8 } else { 4 };
            let count = self.read_integer(width)?;
            let mut inline = [0; 8];
            self.reader.read_exact(&mut inline[..width])?;
            entries.insert(tag, Entry { kind, count, inline });
        }
        Ok((Directory { entries }, self.read_offset()?))
    }

    /// The bytes of a tag's values, as they are stored, and its type.
    fn value(&mut self, directory: &Directory, tag: u16) -> Result<Option<(u16, Vec<u8>)>, Problem> {
        let Some(Entry { kind, count, inline }) = directory.entries.get(&tag) else { return Ok(None) };
        let length = bytes_of(*kind).and_then(|bytes| bytes.checked_mul(*count));
        let Some(length) = length.filter(|&length| length <= self.bytes) else {
            let problem =
                format!("tag {tag} claims {count} values of type {kind} in a file of {} bytes", self.bytes);
            return Err(Problem::Corrupt(problem));
        };
        let width = if self.big_tiff { 8 } else { 4 };
        if length <= width {
            return Ok(Some((*kind, inline[..length as usize].to_vec())));
        }
        self.reader.seek(SeekFrom::Start(self.integer(&inline[..width as usize])))?;
        let mut bytes = vec![0; length as usize];
        self.reader.read_exact(&mut bytes)?;
        Ok(Some((*kind, bytes)))
    }

    /// All values of a tag of unsigned integers; empty where the tag is missing.
    pub(super) fn integers(&mut self, directory: &Directory, tag: u16) -> Result<Vec<u64>, Problem> {
        let Some((kind, bytes)) = self.value(directory, tag)? else { return Ok(Vec::new()) };
        match (kind, bytes_of(kind)) {
            (1 | 3 | 4 | 13 | 16 | 18, Some(width)) => {
                Ok(bytes.chunks_exact(width as usize).map(|value| self.integer(value)).collect())
            }
            _ => Err(Problem::Corrupt(format!("tag {tag} holds values of type {kind} instead of integers"))),
        }
    }

    /// The first value of a tag of unsigned integers.
    pub(super) fn first(&mut self, directory: &Directory, tag: u16) -> Result<Option<u64>, Problem> {
        Ok(self.integers(directory, tag)?.first().copied())
    }

    /// The first value of a tag of fractions.
    pub(super) fn fraction(&mut self, directory: &Directory, tag: u16) -> Result<Option<f64>, Problem> {
        Ok(match self.value(directory, tag)? {
            Some((RATIONAL, bytes)) if bytes.len() >= 8 => {
                Some(self.integer(&bytes[..4]) as f64 / self.integer(&bytes[4..8]) as f64)
            }
            _ => None,
        })
    }

    /// The text of a tag, up to its first NUL; what is no UTF-8 is taken for Latin-1, as old programs write
    /// the micro sign.
    pub(super) fn text(&mut self, directory: &Directory, tag: u16) -> Result<String, Problem> {
        let Some((_, mut bytes)) = self.value(directory, tag)? else { return Ok(String::new()) };
        bytes.truncate(bytes.iter().position(|&byte| byte == 0).unwrap_or(bytes.len()));
        Ok(String::from_utf8(bytes).unwrap_or_else(|e| e.into_bytes().into_iter().map(char::from).collect()))
    }

    fn read_offset(&mut self) -> Result<u64, Problem> {
        self.read_integer(if self.big_tiff { 8 } else { 4 })
    }

    fn read_integer(&mut self, width: usize) -> Result<u64, Problem> {
        let mut bytes = [0; 8];
        self.reader.read_exact(&mut bytes[..width])?;
        Ok(self.integer(&bytes[..width]))
    }

    /// Up to eight bytes as an integer.
    fn integer(&self, bytes: &[u8]) -> u64 {
        let append = |value: u64, &byte: &u8| value << 8 | u64::from(byte);
        if self.big_endian { bytes.iter().fold(0, append) } else { bytes.iter().rev().fold(0, append) }
    }
}
