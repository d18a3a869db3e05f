//! The voxels.

use std::io::{self, Read, Seek, SeekFrom};

use ndarray::Array3;
use rayon::prelude::*;

use super::{
    directory::TiffFile,
    pages::{Page, Sample, name_page},
    problem::Problem,
    stack::{Planes, Stack},
};
use crate::{AnyVolume, DType, Volume, Voxel, raw, volume::sealed};

/// Reads all planes.
pub(super) fn decode(stack: Stack, name: String) -> Result<AnyVolume, Problem> {
    match stack.sample.dtype() {
        DType::U8 => decode_as::<u8>(stack, name),
        DType::I8 => decode_as::<i8>(stack, name),
        DType::U16 => decode_as::<u16>(stack, name),
        DType::I16 => decode_as::<i16>(stack, name),
        DType::U32 => decode_as::<u32>(stack, name),
        DType::I32 => decode_as::<i32>(stack, name),
        DType::U64 => decode_as::<u64>(stack, name),
        DType::I64 => decode_as::<i64>(stack, name),
        DType::F32 => decode_as::<f32>(stack, name),
        DType::F64 => decode_as::<f64>(stack, name),
    }
}

fn decode_as<T: Voxel>(stack: Stack, name: String) -> Result<AnyVolume, Problem> {
    let Stack { mut file, planes, shape, spacing, .. } = stack;
    let count = shape.iter().product::<usize>();
    let mut values: Vec<T> = raw::reserve(count).map_err(Problem::Memory)?;
    match planes {
        Planes::Contiguous(offset) => read_plain(&mut file, offset, &mut values, count)?,
        Planes::Pages(pages) => {
            let per_page = count / pages.len();
            // As many pages at a time as keep all threads busy; only their packed bytes are held besides the
            // volume.
            for (batch, pages) in pages.chunks(BATCH).enumerate() {
                read_batch(&mut file, pages, &mut values, per_page)
                    .map_err(|(page, problem)| name_page(problem, batch * BATCH + page))?;
            }
        }
    }
    let data = Array3::from_shape_vec(shape, values).map_err(|e| Problem::Corrupt(e.to_string()))?;
    Ok(<T as sealed::Voxel>::wrap(Volume { data, spacing, name }))
}

/// The number of pages that are read before they are unpacked in parallel.
const BATCH: usize = 32;

/// Appends `count` values that lie in the file as they are.
fn read_plain<T: Voxel>(
    file: &mut TiffFile,
    offset: u64,
    values: &mut Vec<T>,
    count: usize,
) -> Result<(), Problem> {
    let start = values.len();
    values.resize(start + count, T::zeroed());
    file.reader.seek(SeekFrom::Start(offset))?;
    Ok(raw::read_values(&mut file.reader, &mut values[start..], file.big_endian)?)
}

/// Appends the values of some pages; an error comes with the number of the page in the batch.
fn read_batch<T: Voxel>(
    file: &mut TiffFile,
    pages: &[Page],
    values: &mut Vec<T>,
    per_page: usize,
) -> Result<(), (usize, Problem)> {
    if pages.iter().all(|page| page.plain_offset().is_some()) {
        for (index, page) in pages.iter().enumerate() {
            let offset = page.plain_offset().unwrap_or_default();
            read_plain(file, offset, values, per_page).map_err(|e| (index, e))?;
        }
        return Ok(());
    }
    let packed: Vec<Vec<Vec<u8>>> = pages
        .iter()
        .enumerate()
        .map(|(index, page)| read_packed(file, page).map_err(|e| (index, e)))
        .collect::<Result<_, _>>()?;
    let start = values.len();
    values.resize(start + per_page * pages.len(), T::zeroed());
    let big_endian = file.big_endian;
    let failed = values[start..]
        .par_chunks_mut(per_page)
        .zip(pages.par_iter().zip(&packed))
        .enumerate()
        .filter_map(|(index, (values, (page, packed)))| {
            let bytes = bytemuck::cast_slice_mut(values);
            let result = match size_of::<T>() {
                1 => unpack_page::<1>(page, packed, bytes, big_endian),
                2 => unpack_page::<2>(page, packed, bytes, big_endian),
                4 => unpack_page::<4>(page, packed, bytes, big_endian),
                _ => unpack_page::<8>(page, packed, bytes, big_endian),
            };
            result.err().map(|problem| (index, problem))
        })
        .min_by_key(|(index, _)| *index);
    failed.map_or(Ok(()), Err)
}

/// The chunks of a page as they lie in the file.
fn read_packed(file: &mut TiffFile, page: &Page) -> Result<Vec<Vec<u8>>, Problem> {
    let read = |&(offset, length): &(u64, u64)| {
        // The lengths were checked against the length of the file.
        let mut bytes = vec![0; length as usize];
        file.reader.seek(SeekFrom::Start(offset))?;
        file.reader.read_exact(&mut bytes)?;
        Ok(bytes)
    };
    page.chunks.iter().map(read).collect()
}

/// Unpacks a page of values of `N` bytes into `bytes`.
fn unpack_page<const N: usize>(
    page: &Page,
    packed: &[Vec<u8>],
    bytes: &mut [u8],
    big_endian: bool,
) -> Result<(), Problem> {
    let [down, across] = page.grid().map(|count| count as usize);
    let [chunk_height, chunk_width] = page.chunk.map(|size| size as usize);
    let (width, height) = (page.width as usize, page.height as usize);
    // The products were checked when the page was read.
    let row_bytes = page.chunk_row_bytes().unwrap_or_default() as usize;
    let mut chunk = Vec::new();
    for (index, packed) in packed.iter().enumerate() {
        chunk.resize(row_bytes * page.chunk_rows(index) as usize, 0);
        page.codec.unpack(packed, &mut chunk).map_err(|e| damaged(index, &e))?;
        let (plane, y0, x0) =
            (index / across / down, index / across % down * chunk_height, index % across * chunk_width);
        let kept = chunk_width.min(width - x0);
        for (row, y) in chunk.chunks_exact_mut(row_bytes).zip(y0..height) {
            let target = &mut bytes[((plane * height + y) * width + x0) * N..][..kept * N];
            if page.sample == Sample::Bit {
                unpack_bits(row, target);
            } else {
                page.predictor.undo::<N>(row, big_endian);
                target.copy_from_slice(&row[..kept * N]);
            }
        }
    }
    Ok(())
}

fn damaged(index: usize, error: &io::Error) -> Problem {
    Problem::Corrupt(match error.kind() {
        io::ErrorKind::UnexpectedEof => format!("piece {index} of its data is too short"),
        _ => format!("piece {index} of its data: {error}"),
    })
}

/// One value for each bit, the highest first.
fn unpack_bits(row: &[u8], values: &mut [u8]) {
    for (x, value) in values.iter_mut().enumerate() {
        *value = row[x / 8] >> (7 - x % 8) & 1;
    }
}
