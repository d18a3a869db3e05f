//! Volumes on disk while they are being made.

use std::{
    fs::File,
    io::{self, Read, Seek, SeekFrom, Write},
    ops::Range,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

use ndarray::{Array3, ArrayView3, ArrayViewMut3, Ix3, SliceInfo, SliceInfoElem, s};
use rayon::prelude::*;

use crate::{Error, Result, Voxel};

/// The voxels `[z, y, x]` that are packed together.
const CHUNK: [usize; 3] = [8, 256, 256];

/// How many chunks are packed or unpacked before the next ones are read.
const BATCH: usize = 32;

/// zstd's level: labels become some hundred times smaller at its fastest already.
const LEVEL: i32 = 1;

/// A volume on disk that is written and read in boxes; 0 everywhere at first.
///
/// It lies in a file without a name, which the system removes however the program ends, and its parts are packed: labels
/// of 32 bits take some 40 bytes for each thousand voxels. Memory is that of 32 parts. Boxes that begin and end at multiples of
/// [`ScratchVolume::CHUNK`] are written without being read before.
#[derive(Debug)]
pub struct ScratchVolume<T> {
    /// What errors name.
    path: PathBuf,
    file: Mutex<File>,
    shape: [usize; 3],
    /// Where each part lies, in raster order; a part of zeros is nowhere.
    chunks: Vec<Option<Place>>,
    /// The first byte behind all parts.
    end: u64,
    values: std::marker::PhantomData<T>,
}

#[derive(Clone, Copy, Debug)]
struct Place {
    offset: u64,
    length: u64,
    /// The bytes until the next part.
    room: u64,
}

/// A part of the volume, and the ranges that it and a box have in common.
struct Shared {
    chunk: usize,
    shape: [usize; 3],
    in_chunk: [Range<usize>; 3],
    in_box: [Range<usize>; 3],
}

impl Shared {
    /// Whether the box holds all of the part.
    fn is_whole(&self) -> bool {
        (0..3).all(|axis| self.in_box[axis].len() == self.shape[axis])
    }
}

impl<T: Voxel> ScratchVolume<T> {
    /// The voxels `[z, y, x]` of a part.
    pub const CHUNK: [usize; 3] = CHUNK;

    /// A volume of zeros in the folder that `output` is to be written to; errors name that file.
    ///
    /// # Errors
    /// [`Error::Write`] if no file can be made there.
    pub fn beside(output: impl AsRef<Path>, shape: [usize; 3]) -> Result<Self> {
        let path = output.as_ref().to_owned();
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let file = tempfile::tempfile_in(folder).map_err(|e| Error::write(&path, e))?;
        let count = grid(shape).iter().product();
        Ok(Self {
            path,
            file: Mutex::new(file),
            shape,
            chunks: vec![None; count],
            end: 0,
            values: std::marker::PhantomData,
        })
    }

    /// The lengths `[z, y, x]` in voxels.
    pub fn shape(&self) -> [usize; 3] {
        self.shape
    }

    /// Fills `into` with the box of its shape that begins at voxel `origin`.
    ///
    /// # Errors
    /// [`Error::Read`]; [`Error::Argument`] for a box that is not inside the volume.
    pub fn read(&self, origin: [usize; 3], mut into: ArrayViewMut3<T>) -> Result<()> {
        for shared in self.shared(origin, into.dim())?.chunks(BATCH) {
            let parts = self.parts(shared, |_| true).map_err(|e| Error::read(&self.path, e))?;
            for (shared, part) in shared.iter().zip(parts) {
                let mut target = into.slice_mut(slice(&shared.in_box));
                match part {
                    Some(part) => target.assign(&part.slice(slice(&shared.in_chunk))),
                    None => target.fill(T::zeroed()),
                }
            }
        }
        Ok(())
    }

    /// Stores a box that begins at voxel `origin`.
    ///
    /// # Errors
    /// [`Error::Write`] if the disk is full; [`Error::Argument`] for a box that is not inside the volume.
    pub fn write(&mut self, origin: [usize; 3], values: ArrayView3<T>) -> Result<()> {
        let path = self.path.clone();
        let write_error = |e| Error::write(&path, e);
        for shared in self.shared(origin, values.dim())?.chunks(BATCH) {
            let parts = self.parts(shared, |shared| !shared.is_whole()).map_err(write_error)?;
            let packed: Vec<Vec<u8>> = shared
                .par_iter()
                .zip(parts)
                .map(|(shared, part)| {
                    let mut part = part.unwrap_or_else(|| Array3::from_elem(shared.shape, T::zeroed()));
                    part.slice_mut(slice(&shared.in_chunk)).assign(&values.slice(slice(&shared.in_box)));
                    pack(&part)
                })
                .collect::<io::Result<_>>()
                .map_err(write_error)?;
            for (shared, bytes) in shared.iter().zip(packed) {
                self.store(shared.chunk, &bytes).map_err(write_error)?;
            }
        }
        Ok(())
    }

    /// The parts that are stored and `wanted`.
    fn parts(
        &self,
        shared: &[Shared],
        wanted: impl Fn(&Shared) -> bool,
    ) -> io::Result<Vec<Option<Array3<T>>>> {
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        let packed: Vec<Option<Vec<u8>>> = shared
            .iter()
            .map(|shared| {
                let Some(place) = self.chunks[shared.chunk].filter(|_| wanted(shared)) else {
                    return Ok(None);
                };
                let mut bytes = vec![0; place.length as usize];
                file.seek(SeekFrom::Start(place.offset))?;
                file.read_exact(&mut bytes)?;
                Ok(Some(bytes))
            })
            .collect::<io::Result<_>>()?;
        drop(file);
        shared
            .par_iter()
            .zip(packed)
            .map(|(shared, packed)| packed.map(|packed| unpack(&packed, shared.shape)).transpose())
            .collect()
    }

    /// Puts a packed part where it was if it fits, else at the end.
    fn store(&mut self, chunk: usize, bytes: &[u8]) -> io::Result<()> {
        let length = bytes.len() as u64;
        let place = match self.chunks[chunk] {
            Some(Place { offset, room, .. }) if length <= room => Place { offset, length, room },
            // Some room to spare: other labels of the same objects pack about as well.
            _ => Place { offset: self.end, length, room: length + length / 8 },
        };
        self.end = self.end.max(place.offset + place.room);
        let file = self.file.get_mut().unwrap_or_else(PoisonError::into_inner);
        file.seek(SeekFrom::Start(place.offset))?;
        file.write_all(bytes)?;
        self.chunks[chunk] = Some(place);
        Ok(())
    }

    /// The parts that a box meets.
    fn shared(&self, origin: [usize; 3], (nz, ny, nx): (usize, usize, usize)) -> Result<Vec<Shared>> {
        let ends: [usize; 3] = std::array::from_fn(|axis| origin[axis].saturating_add([nz, ny, nx][axis]));
        if (0..3).any(|axis| ends[axis] > self.shape[axis]) {
            return Err(Error::Argument(format!(
                "a box from {origin:?} to {ends:?} (z, y, x) is not in a volume of shape {:?}",
                self.shape
            )));
        }
        let grid = grid(self.shape);
        let along = |axis: usize| origin[axis] / CHUNK[axis]..ends[axis].div_ceil(CHUNK[axis]);
        let mut all = Vec::new();
        for z in along(0) {
            for y in along(1) {
                all.extend(along(2).map(|x| {
                    let place = [z, y, x];
                    let first: [usize; 3] = std::array::from_fn(|axis| place[axis] * CHUNK[axis]);
                    let shape = std::array::from_fn(|axis| CHUNK[axis].min(self.shape[axis] - first[axis]));
                    let common: [Range<usize>; 3] = std::array::from_fn(|axis| {
                        origin[axis].max(first[axis])..ends[axis].min(first[axis] + shape[axis])
                    });
                    let from = |start: [usize; 3]| {
                        std::array::from_fn(|axis| {
                            common[axis].start - start[axis]..common[axis].end - start[axis]
                        })
                    };
                    let chunk = (z * grid[1] + y) * grid[2] + x;
                    Shared { chunk, shape, in_chunk: from(first), in_box: from(origin) }
                }));
            }
        }
        Ok(all)
    }
}

/// The number of parts along each axis.
fn grid(shape: [usize; 3]) -> [usize; 3] {
    std::array::from_fn(|axis| shape[axis].div_ceil(CHUNK[axis]))
}

fn slice([z, y, x]: &[Range<usize>; 3]) -> SliceInfo<[SliceInfoElem; 3], Ix3, Ix3> {
    s![z.clone(), y.clone(), x.clone()]
}

fn pack<T: Voxel>(part: &Array3<T>) -> io::Result<Vec<u8>> {
    let values = part.as_slice().expect("new arrays are stored in raster order");
    zstd::bulk::compress(bytemuck::cast_slice(values), LEVEL)
}

fn unpack<T: Voxel>(packed: &[u8], shape: [usize; 3]) -> io::Result<Array3<T>> {
    let mut part = Array3::from_elem(shape, T::zeroed());
    let values = part.as_slice_mut().expect("new arrays are stored in raster order");
    let bytes = bytemuck::cast_slice_mut::<T, u8>(values);
    let (found, expected) = (zstd::bulk::decompress_to_buffer(packed, &mut *bytes)?, bytes.len());
    if found != expected {
        let problem = format!("a part of the scratch file has {found} bytes unpacked; expected {expected}");
        return Err(io::Error::new(io::ErrorKind::UnexpectedEof, problem));
    }
    Ok(part)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn boxes() -> impl Strategy<Value = ([usize; 3], [usize; 3], u32)> {
        let origin = [0usize..12, 0usize..300, 0usize..300];
        let size = [1usize..13, 1usize..301, 1usize..301];
        (origin, size, any::<u32>())
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]

        #[test]
        fn what_is_read_is_what_was_written_last(
            written in proptest::collection::vec(boxes(), 1..6),
            (origin, size, _) in boxes(),
        ) {
            const SHAPE: [usize; 3] = [12, 300, 300];
            let within = |origin: [usize; 3], size: [usize; 3]| {
                let end = |axis: usize| (origin[axis] + size[axis]).min(SHAPE[axis]);
                [0, 1, 2].map(|axis| origin[axis]..end(axis))
            };
            let folder = tempfile::tempdir().unwrap();
            let mut scratch = ScratchVolume::<u32>::beside(folder.path().join("v.tif"), SHAPE).unwrap();
            let mut truth = Array3::<u32>::zeros(SHAPE);
            for (origin, size, seed) in written {
                let ranges = within(origin, size);
                let mut part = truth.slice_mut(slice(&ranges));
                for (index, value) in part.iter_mut().enumerate() {
                    *value = if seed % 3 == 0 { seed } else { seed.wrapping_mul(index as u32) };
                }
                scratch.write(origin, part.view()).unwrap();
            }
            let ranges = within(origin, size);
            let mut found = Array3::from_elem(ranges.clone().map(|range| range.len()), 7);
            scratch.read(origin, found.view_mut()).unwrap();
            prop_assert_eq!(found.view(), truth.slice(slice(&ranges)));
            prop_assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
        }
    }

    #[test]
    fn a_part_that_is_too_short_is_an_error() {
        let packed = pack(&Array3::from_elem((2, 3, 4), 5u16)).unwrap();
        assert!(unpack::<u16>(&packed, [2, 3, 4]).is_ok());
        let error = unpack::<u16>(&packed, [3, 3, 4]).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof, "{error}");
    }

    #[test]
    fn boxes_outside_the_volume_are_refused_and_what_was_never_written_is_zero() {
        let folder = tempfile::tempdir().unwrap();
        let mut scratch = ScratchVolume::<u16>::beside(folder.path().join("v.tif"), [4, 5, 6]).unwrap();
        let mut part = Array3::from_elem((2, 5, 6), 9);
        let error = scratch.write([3, 0, 0], part.view()).unwrap_err().to_string();
        assert!(error.contains("[4, 5, 6]"), "{error}");
        assert!(scratch.read([0, 1, 0], part.view_mut()).is_err());
        scratch.read([2, 0, 0], part.view_mut()).unwrap();
        assert!(part.iter().all(|&value| value == 0));
        assert!(
            ScratchVolume::<u16>::beside("/none/v.tif", [1, 1, 1])
                .unwrap_err()
                .to_string()
                .contains("/none/v.tif")
        );
    }
}
