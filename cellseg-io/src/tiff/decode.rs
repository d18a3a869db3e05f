//! The voxels.

use std::{
    io::{self, Read, Seek, SeekFrom},
    ops::Range,
};

use ndarray::Array3;
use rayon::prelude::*;

use super::{
    directory::TiffFile,
    pages::{Page, Sample, name_page},
    problem::Problem,
    stack::{Planes, Stack},
};
use crate::{AnyVolume, DType, Volume, Voxel, raw, volume::sealed};

/// Reads the voxels in the ranges `[z, y, x]`, which lie inside the volume; decodes only what holds some of them.
pub(super) fn decode(stack: &mut Stack, ranges: [Range<usize>; 3], name: &str) -> Result<AnyVolume, Problem> {
    match stack.sample.dtype() {
        DType::U8 => decode_as::<u8>(stack, ranges, name),
        DType::I8 => decode_as::<i8>(stack, ranges, name),
        DType::U16 => decode_as::<u16>(stack, ranges, name),
        DType::I16 => decode_as::<i16>(stack, ranges, name),
        DType::U32 => decode_as::<u32>(stack, ranges, name),
        DType::I32 => decode_as::<i32>(stack, ranges, name),
        DType::U64 => decode_as::<u64>(stack, ranges, name),
        DType::I64 => decode_as::<i64>(stack, ranges, name),
        DType::F32 => decode_as::<f32>(stack, ranges, name),
        DType::F64 => decode_as::<f64>(stack, ranges, name),
    }
}

fn decode_as<T: Voxel>(
    stack: &mut Stack,
    [z, y, x]: [Range<usize>; 3],
    name: &str,
) -> Result<AnyVolume, Problem> {
    let Stack { file, planes, shape: [_, height, width], spacing, .. } = stack;
    let window = Window { y, x, width: *width };
    let mut values: Vec<T> = raw::reserve(z.len() * window.len()).map_err(Problem::Memory)?;
    values.resize(z.len() * window.len(), T::zeroed());
    match planes {
        Planes::Contiguous(offset) => {
            for (z, values) in z.clone().zip(values.chunks_exact_mut(window.len())) {
                let plane = (z * *height * *width * size_of::<T>()) as u64;
                read_plain(file, *offset + plane, &window, values)?;
            }
        }
        Planes::Pages(pages) => {
            // As many planes at a time as keep all threads busy; only their packed bytes are held besides the
            // values.
            let planes: Vec<Plane> = z.clone().map(|z| Plane::of(pages, z)).collect();
            for (planes, values) in planes.chunks(BATCH).zip(values.chunks_mut(BATCH * window.len())) {
                read_batch(file, planes, &window, values)?;
            }
        }
    }
    let shape = [z.len(), window.y.len(), window.x.len()];
    let data = Array3::from_shape_vec(shape, values).map_err(|e| Problem::Corrupt(e.to_string()))?;
    Ok(<T as sealed::Voxel>::wrap(Volume { data, spacing: *spacing, name: name.to_owned() }))
}

/// The number of planes that are read before they are unpacked in parallel.
const BATCH: usize = 32;

/// What is wanted of each plane.
struct Window {
    y: Range<usize>,
    x: Range<usize>,
    /// The length of the plane's rows.
    width: usize,
}

impl Window {
    fn len(&self) -> usize {
        self.y.len() * self.x.len()
    }
}

/// One plane of a page.
struct Plane<'a> {
    page: &'a Page,
    /// Which page it is, for errors.
    number: usize,
    /// The page's number of the plane's first chunk.
    first_chunk: usize,
}

impl<'a> Plane<'a> {
    /// Plane `z` of a volume in these pages.
    fn of(pages: &'a [Page], z: usize) -> Self {
        // The number of samples fits: each one has chunks that are listed.
        let planes = if pages[0].planar { pages[0].samples as usize } else { 1 };
        let (number, plane) = (z / planes, z % planes);
        let [down, across] = pages[number].grid();
        Self { page: &pages[number], number, first_chunk: plane * (down * across) as usize }
    }

    /// The plane's chunks that hold values of the window, by their places (row, column) and numbers in the page.
    fn chunks(&self, window: &Window) -> impl Iterator<Item = ([usize; 2], usize)> + use<'a> {
        let [height, width] = self.page.chunk.map(|size| size as usize);
        let across = self.page.grid()[1] as usize;
        let rows = window.y.start / height..window.y.end.div_ceil(height);
        let columns = window.x.start / width..window.x.end.div_ceil(width);
        let first = self.first_chunk;
        rows.flat_map(move |row| {
            columns.clone().map(move |column| ([row, column], first + row * across + column))
        })
    }
}

/// Reads values of a plane that lie in the file from byte `offset` on as they are.
fn read_plain<T: Voxel>(
    file: &mut TiffFile,
    offset: u64,
    window: &Window,
    values: &mut [T],
) -> Result<(), Problem> {
    // Whole rows follow each other.
    let run = if window.x.len() == window.width { window.len() } else { window.x.len() };
    for (row, values) in window.y.clone().zip(values.chunks_exact_mut(run)) {
        let first = (row * window.width + window.x.start) * size_of::<T>();
        file.reader.seek(SeekFrom::Start(offset + first as u64))?;
        raw::read_values(&mut file.reader, values, file.big_endian)?;
    }
    Ok(())
}

/// Reads the values of some planes.
fn read_batch<T: Voxel>(
    file: &mut TiffFile,
    planes: &[Plane],
    window: &Window,
    values: &mut [T],
) -> Result<(), Problem> {
    let mut packed = Vec::new();
    for (plane, values) in planes.iter().zip(values.chunks_exact_mut(window.len())) {
        let at_page = |problem| name_page(problem, plane.number);
        match plane.page.plain_offset() {
            Some(offset) => read_plain(file, offset, window, values).map_err(at_page)?,
            None => packed.push((plane, values, read_packed(file, plane, window).map_err(at_page)?)),
        }
    }
    let big_endian = file.big_endian;
    let failed = packed
        .into_par_iter()
        .filter_map(|(plane, values, packed)| {
            let bytes = bytemuck::cast_slice_mut(values);
            let result = match size_of::<T>() {
                1 => unpack_plane::<1>(plane.page, &packed, window, bytes, big_endian),
                2 => unpack_plane::<2>(plane.page, &packed, window, bytes, big_endian),
                4 => unpack_plane::<4>(plane.page, &packed, window, bytes, big_endian),
                _ => unpack_plane::<8>(plane.page, &packed, window, bytes, big_endian),
            };
            result.err().map(|problem| (plane.number, problem))
        })
        .min_by_key(|(number, _)| *number);
    failed.map_or(Ok(()), |(number, problem)| Err(name_page(problem, number)))
}

/// A chunk as it lies in the file.
struct Packed {
    /// Its row and column among the plane's chunks.
    place: [usize; 2],
    /// Its number in the page.
    index: usize,
    bytes: Vec<u8>,
}

/// The chunks of a plane that hold values of the window.
fn read_packed(file: &mut TiffFile, plane: &Plane, window: &Window) -> Result<Vec<Packed>, Problem> {
    let read = |(place, index)| {
        let (offset, length): (u64, u64) = plane.page.chunks[index];
        // The lengths were checked against the length of the file.
        let mut bytes = vec![0; length as usize];
        file.reader.seek(SeekFrom::Start(offset))?;
        file.reader.read_exact(&mut bytes)?;
        Ok(Packed { place, index, bytes })
    };
    plane.chunks(window).map(read).collect()
}

/// Unpacks chunks of values of `N` bytes into the bytes of the window.
fn unpack_plane<const N: usize>(
    page: &Page,
    packed: &[Packed],
    window: &Window,
    bytes: &mut [u8],
    big_endian: bool,
) -> Result<(), Problem> {
    let [chunk_height, chunk_width] = page.chunk.map(|size| size as usize);
    // The products were checked when the page was read.
    let row_bytes = page.chunk_row_bytes().unwrap_or_default() as usize;
    let (mut chunk, mut bits) = (Vec::new(), Vec::new());
    for Packed { place: [row, column], index, bytes: packed } in packed {
        // A strip that the window ends in is unpacked no further.
        let (y0, x0) = (row * chunk_height, column * chunk_width);
        let rows = (page.chunk_rows(*index) as usize).min(window.y.end - y0);
        chunk.resize(row_bytes * rows, 0);
        page.codec.unpack(packed, &mut chunk).map_err(|e| damaged(*index, &e))?;
        let columns = window.x.start.max(x0)..window.x.end.min(x0 + chunk_width);
        for (row, y) in chunk.chunks_exact_mut(row_bytes).zip(y0..) {
            if !window.y.contains(&y) {
                continue;
            }
            let row = if page.sample == Sample::Bit {
                bits.resize(chunk_width, 0);
                unpack_bits(row, &mut bits);
                bits.as_slice()
            } else {
                page.predictor.undo::<N>(row, big_endian);
                row
            };
            let start = (y - window.y.start) * window.x.len() + (columns.start - window.x.start);
            let stored = (columns.start - x0) * N..(columns.end - x0) * N;
            bytes[start * N..][..columns.len() * N].copy_from_slice(&row[stored]);
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
