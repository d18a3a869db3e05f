//! The pages of a TIFF, with all that is claimed of them checked against the file before any memory is taken.

use std::collections::BTreeSet;

use super::{
    directory::{Directory, TiffFile, tag},
    problem::Problem,
    unpack::{Codec, Predictor},
};
use crate::DType;

/// How the values of a page are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sample {
    Plain(DType),
    /// Eight to a byte, each row on bytes of its own.
    Bit,
}

impl Sample {
    pub(super) fn dtype(self) -> DType {
        match self {
            Self::Plain(dtype) => dtype,
            Self::Bit => DType::U8,
        }
    }

    /// The number of bytes of a stored row of `width` values.
    pub(super) fn row_bytes(self, width: u64) -> Option<u64> {
        match self {
            Self::Bit => Some(width.div_ceil(8)),
            Self::Plain(dtype) => width.checked_mul(dtype.bytes() as u64),
        }
    }
}

/// One page, that is, one directory.
#[derive(Debug)]
pub(super) struct Page {
    pub(super) width: u64,
    pub(super) height: u64,
    pub(super) sample: Sample,
    /// Values per pixel.
    pub(super) samples: u64,
    /// Whether the samples of a pixel are stored as planes one after the other.
    pub(super) planar: bool,
    pub(super) codec: Codec,
    pub(super) predictor: Predictor,
    /// The height and width of a strip or tile.
    pub(super) chunk: [u64; 2],
    /// Whether chunks at the edge are stored whole, as tiles are.
    pub(super) tiled: bool,
    /// Where the chunks lie in the file: offset and length.
    pub(super) chunks: Vec<(u64, u64)>,
}

/// All the pages that can be planes: thumbnails, lower resolutions and masks are left out.
pub(super) struct Pages {
    pub(super) file: TiffFile,
    /// The first directory.
    pub(super) first: Directory,
    pub(super) pages: Vec<Page>,
}

impl Pages {
    /// Walks through the file.
    pub(super) fn scan(file: std::fs::File) -> Result<Self, Problem> {
        let (mut file, mut offset) = TiffFile::open(file)?;
        let (first, _) = file.directory(offset)?;
        let (mut pages, mut seen, mut stored) = (Vec::new(), BTreeSet::new(), 0u64);
        while offset != 0 {
            if !seen.insert(offset) {
                return Err(Problem::Corrupt(format!(
                    "its directories go round in a circle after page {}",
                    pages.len()
                )));
            }
            let (directory, next) = file.directory(offset)?;
            // Bits 0 and 2: a lower resolution of, or a mask for, another page.
            let reduced = file.first(&directory, tag::NEW_SUBFILE_TYPE)?.unwrap_or(0) & 0b101 != 0;
            if !reduced || pages.is_empty() {
                let page =
                    Page::read(&mut file, &directory).map_err(|problem| name_page(problem, pages.len()))?;
                stored = page.chunks.iter().fold(stored, |sum, (_, length)| sum.saturating_add(*length));
                pages.push(page);
            }
            offset = next;
        }
        // Else a small file could claim any number of planes, all of them the same bytes.
        if stored > file.bytes {
            let problem =
                format!("its {} pages claim {stored} bytes, but it has {}", pages.len(), file.bytes);
            return Err(Problem::Corrupt(problem));
        }
        Ok(Self { file, first, pages })
    }
}

/// Says on which page a contradiction was found.
pub(super) fn name_page(problem: Problem, page: usize) -> Problem {
    match problem {
        Problem::Corrupt(problem) => Problem::Corrupt(format!("page {page}: {problem}")),
        other => other,
    }
}

impl Page {
    /// Reads a directory.
    fn read(file: &mut TiffFile, directory: &Directory) -> Result<Self, Problem> {
        let mut first = |tag| file.first(directory, tag);
        let size = |size: Option<u64>, name| {
            size.filter(|size| (1..=u64::from(u32::MAX)).contains(size))
                .ok_or_else(|| Problem::Corrupt(format!("its {name} is {size:?}")))
        };
        let width = size(first(tag::IMAGE_WIDTH)?, "width")?;
        let height = size(first(tag::IMAGE_LENGTH)?, "height")?;
        if first(tag::IMAGE_DEPTH)?.is_some_and(|depth| depth > 1) {
            let advice = "save it without volumetric tiles, as a stack of pages";
            return Err(Problem::Unsupported("a TIFF of 3-D tiles".into(), advice.into()));
        }
        let samples = size(Some(first(tag::SAMPLES_PER_PIXEL)?.unwrap_or(1)), "number of samples a pixel")?;
        let planar = first(tag::PLANAR_CONFIGURATION)? == Some(2);
        let codec = Codec::of_tag(first(tag::COMPRESSION)?.unwrap_or(1))?;
        let predictor = Predictor::of_tag(first(tag::PREDICTOR)?.unwrap_or(1))?;
        let tiled = first(tag::TILE_WIDTH)?.is_some();
        let chunk = if tiled {
            [size(first(tag::TILE_LENGTH)?, "tile height")?, size(first(tag::TILE_WIDTH)?, "tile width")?]
        } else {
            [size(Some(first(tag::ROWS_PER_STRIP)?.unwrap_or(height).min(height)), "strip height")?, width]
        };
        let sample = sample(file, directory)?;
        let [offsets, lengths] = if tiled {
            [tag::TILE_OFFSETS, tag::TILE_BYTE_COUNTS]
        } else {
            [tag::STRIP_OFFSETS, tag::STRIP_BYTE_COUNTS]
        };
        let offsets = file.integers(directory, offsets)?;
        let lengths = file.integers(directory, lengths)?;
        if offsets.len() != lengths.len() {
            return Err(Problem::Corrupt(format!(
                "{} offsets for {} lengths of data",
                offsets.len(),
                lengths.len()
            )));
        }
        let chunks = offsets.into_iter().zip(lengths).collect();
        let page = Self { width, height, sample, samples, planar, codec, predictor, chunk, tiled, chunks };
        page.check(file.bytes)?;
        Ok(page)
    }

    /// Checks that the data lie in the file, and can be unpacked to what the page's size needs.
    fn check(&self, file_bytes: u64) -> Result<(), Problem> {
        let expected =
            [self.height, self.width].into_iter().zip(self.chunk).map(|(size, chunk)| size.div_ceil(chunk));
        let expected = expected.product::<u64>().saturating_mul(if self.planar { self.samples } else { 1 });
        if self.chunks.len() as u64 != expected {
            return Err(Problem::Corrupt(format!(
                "{} pieces of data instead of {expected}",
                self.chunks.len()
            )));
        }
        for (index, &(offset, length)) in self.chunks.iter().enumerate() {
            let end = offset.saturating_add(length);
            if end > file_bytes {
                return Err(Problem::Corrupt(format!(
                    "its data end at byte {end}, but the file has {file_bytes}"
                )));
            }
            let needed =
                self.chunk_bytes(index).ok_or_else(|| Problem::Corrupt("its size is absurd".into()))?;
            if needed > length.saturating_mul(self.codec.most_bytes()) {
                let problem = format!("{length} bytes in the file cannot hold a piece of data of {needed}");
                return Err(Problem::Corrupt(problem));
            }
        }
        Ok(())
    }

    /// The number of chunks of one plane along y and x.
    pub(super) fn grid(&self) -> [u64; 2] {
        [self.height.div_ceil(self.chunk[0]), self.width.div_ceil(self.chunk[1])]
    }

    /// The number of rows that are stored in a chunk.
    pub(super) fn chunk_rows(&self, index: usize) -> u64 {
        let [down, across] = self.grid();
        let row = index as u64 / across % down;
        if self.tiled { self.chunk[0] } else { self.chunk[0].min(self.height - row * self.chunk[0]) }
    }

    /// The number of bytes of a row of a chunk.
    pub(super) fn chunk_row_bytes(&self) -> Option<u64> {
        let interleaved = if self.planar { 1 } else { self.samples };
        self.sample.row_bytes(self.chunk[1].checked_mul(interleaved)?)
    }

    /// The number of bytes of an unpacked chunk.
    fn chunk_bytes(&self, index: usize) -> Option<u64> {
        self.chunk_row_bytes()?.checked_mul(self.chunk_rows(index))
    }

    /// The number of bytes of one stored plane, if that is what one chunk after the other of strips is.
    pub(super) fn plane_bytes(&self) -> Option<u64> {
        self.sample.row_bytes(self.width)?.checked_mul(self.height)
    }

    /// Where the data start, if they are plain values in one piece.
    pub(super) fn plain_offset(&self) -> Option<u64> {
        let &(start, _) = self.chunks.first()?;
        let mut end = start;
        let in_one_piece = self.chunks.iter().all(|&(offset, length)| {
            let follows = offset == end;
            end = offset + length;
            follows
        });
        // Strips that are longer than their rows would leave gaps.
        let gapless = self.chunks.len() == 1 || end.checked_sub(start) == self.plane_bytes();
        let plain =
            self.codec == Codec::None && self.sample != Sample::Bit && self.samples == 1 && !self.tiled;
        (plain && self.predictor == Predictor::None && in_one_piece && gapless).then_some(start)
    }
}

/// The type of a page's values.
fn sample(file: &mut TiffFile, directory: &Directory) -> Result<Sample, Problem> {
    let mut all_alike = |tag| {
        let list = file.integers(directory, tag)?;
        match list.first() {
            Some(first) if list.iter().any(|other| other != first) => Err(Problem::Unsupported(
                format!("a TIFF of mixed values {list:?}"),
                "save one channel alone".into(),
            )),
            first => Ok(first.copied().unwrap_or(1)),
        }
    };
    let bits = all_alike(tag::BITS_PER_SAMPLE)?;
    let format = all_alike(tag::SAMPLE_FORMAT)?;
    let lowest_bit_first = file.first(directory, tag::FILL_ORDER)? == Some(2);
    // 1 unsigned, 2 signed, 3 floating point, 4 unspecified.
    let dtype = match (format, bits) {
        (1 | 4, 1) if !lowest_bit_first => return Ok(Sample::Bit),
        (1 | 4, 8) => DType::U8,
        (1 | 4, 16) => DType::U16,
        (1 | 4, 32) => DType::U32,
        (1 | 4, 64) => DType::U64,
        (2, 8) => DType::I8,
        (2, 16) => DType::I16,
        (2, 32) => DType::I32,
        (2, 64) => DType::I64,
        (3, 32) => DType::F32,
        (3, 64) => DType::F64,
        _ => {
            let kind = ["unsigned integers", "integers", "floats", "values"];
            let kind = kind.get((format as usize).wrapping_sub(1)).unwrap_or(&"values of an unknown kind");
            let advice = format!("supported: {}, single bits", DType::NAMES);
            return Err(Problem::Unsupported(format!("a TIFF of {bits}-bit {kind}"), advice.into()));
        }
    };
    Ok(Sample::Plain(dtype))
}
