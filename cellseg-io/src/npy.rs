//! NumPy's `.npy`: volumes in, arrays of any number of axes out.

use std::{
    fs::File,
    io::{self, BufReader, Read, Seek, SeekFrom, Write},
    ops::Range,
    path::Path,
};

use ndarray::{Array3, ArrayView, ArrayView2, Axis, Dimension, s};
use ndarray_npy::{
    WriteNpyError, WriteNpyExt,
    npy::header::{Header, Layout, ReadHeaderError, WriteHeaderError},
};

use crate::{
    AnyVolume, AtomicFile, DType, Error, FileFormat, Frame, Overwrite, Result, Volume, VolumeInfo, Voxel,
    raw, volume::slabs_of,
};

/// NumPy itself reads no longer headers (`max_header_size`); the text's parser recurses, so depth is bounded
/// with it.
const LONGEST_HEADER: usize = 10_000;

/// An open file that holds a volume; what its header says was checked against its length.
pub(crate) struct NpyVolume {
    element: Element,
    big_endian: bool,
    fortran: bool,
    shape: [usize; 3],
    /// The place of the first value in the file.
    data_start: u64,
    reader: BufReader<File>,
}

/// How a value is stored.
#[derive(Clone, Copy)]
enum Element {
    Plain(DType),
    Half,
}

impl Element {
    fn bytes(self) -> usize {
        match self {
            Self::Plain(dtype) => dtype.bytes(),
            Self::Half => 2,
        }
    }

    fn dtype(self) -> DType {
        match self {
            Self::Plain(dtype) => dtype,
            Self::Half => DType::F32,
        }
    }
}

/// Writes an array of any number of axes, in C order.
///
/// # Errors
/// As [`AtomicFile::create`] and [`AtomicFile::commit`].
pub fn write_npy<T: Voxel, D: Dimension>(
    path: impl AsRef<Path>,
    array: ArrayView<'_, T, D>,
    overwrite: Overwrite,
) -> Result<()> {
    let path = path.as_ref();
    let mut file = AtomicFile::create(path, overwrite)?;
    // Arrays in another order would be written element by element, or in Fortran order.
    array.as_standard_layout().write_npy(&mut file).map_err(|e| match e {
        WriteNpyError::Io(e) => Error::write(path, e),
        e => Error::write(path, e),
    })?;
    file.commit()
}

/// [`write_npy`] of a volume whose planes `slab` gives, range by range.
pub(crate) fn write_slabs<T: Voxel>(
    path: &Path,
    frame: &Frame,
    overwrite: Overwrite,
    mut slab: impl FnMut(Range<usize>) -> Result<Array3<T>>,
) -> Result<()> {
    let mut file = AtomicFile::create(path, overwrite)?;
    let (type_descriptor, layout) = (T::type_descriptor(), Layout::Standard);
    let header = Header { type_descriptor, layout, shape: frame.shape.to_vec() };
    header.write(&mut file).map_err(|e| match e {
        WriteHeaderError::Io(e) => Error::write(path, e),
        e => Error::write(path, e),
    })?;
    for planes in slabs_of(frame.shape, size_of::<T>()) {
        let planes = slab(planes)?;
        let planes = planes.as_standard_layout();
        let values = planes.as_slice().expect("arrays in standard layout are slices");
        file.write_all(bytemuck::cast_slice(values)).map_err(|e| Error::write(path, e))?;
    }
    file.commit()
}

impl NpyVolume {
    /// Reads and checks the header.
    pub(crate) fn open(path: &Path, file: File) -> Result<Self> {
        let file_bytes = file.metadata().map_err(|e| Error::read(path, e))?.len();
        let mut reader = BufReader::with_capacity(1 << 20, file);
        check_header_length(path, &mut reader)?;
        let header = Header::from_reader(&mut reader).map_err(|e| match e {
            ReadHeaderError::Io(e) if e.kind() != std::io::ErrorKind::UnexpectedEof => Error::read(path, e),
            e => Error::corrupt(path, format!("its NPY header: {e}")),
        })?;
        let descriptor =
            header.type_descriptor.as_string().map(String::as_str).unwrap_or("a structured type");
        let (element, big_endian) = element(descriptor).ok_or_else(|| {
            let advice = format!("supported: {}, bool and 16-bit floats", DType::NAMES);
            Error::unsupported(path, format!("the NumPy type {descriptor}"), advice)
        })?;
        let data_start = reader.stream_position().map_err(|e| Error::read(path, e))?;
        let needed = header
            .shape
            .iter()
            .try_fold(element.bytes() as u64, |bytes, &length| bytes.checked_mul(length as u64))
            .and_then(|bytes| bytes.checked_add(data_start));
        if needed.is_none_or(|needed| needed > file_bytes) {
            return Err(Error::corrupt(
                path,
                format!(
                    "an array of shape {:?} and type {descriptor} does not fit into its {file_bytes} bytes",
                    header.shape
                ),
            ));
        }
        let shape = volume_shape(path, &header.shape)?;
        let fortran = header.layout == Layout::Fortran;
        Ok(Self { element, big_endian, fortran, shape, data_start, reader })
    }

    pub(crate) fn info(&self) -> VolumeInfo {
        let (dtype, shape) = (self.element.dtype(), self.shape);
        VolumeInfo { format: FileFormat::Npy, dtype, shape, spacing: None }
    }

    /// The voxels in ranges `[z, y, x]` inside the volume.
    pub(crate) fn part(&mut self, path: &Path, ranges: [Range<usize>; 3], name: &str) -> Result<AnyVolume> {
        let dtype = match self.element {
            Element::Half => {
                let bits: Volume<u16> = self.values(path, ranges, name)?;
                return Ok(AnyVolume::F32(bits.map(|&bits| half::f16::from_bits(bits).to_f32())));
            }
            Element::Plain(dtype) => dtype,
        };
        match dtype {
            DType::U8 => self.values(path, ranges, name).map(AnyVolume::U8),
            DType::I8 => self.values(path, ranges, name).map(AnyVolume::I8),
            DType::U16 => self.values(path, ranges, name).map(AnyVolume::U16),
            DType::I16 => self.values(path, ranges, name).map(AnyVolume::I16),
            DType::U32 => self.values(path, ranges, name).map(AnyVolume::U32),
            DType::I32 => self.values(path, ranges, name).map(AnyVolume::I32),
            DType::U64 => self.values(path, ranges, name).map(AnyVolume::U64),
            DType::I64 => self.values(path, ranges, name).map(AnyVolume::I64),
            DType::F32 => self.values(path, ranges, name).map(AnyVolume::F32),
            DType::F64 => self.values(path, ranges, name).map(AnyVolume::F64),
        }
    }

    fn values<T: Voxel>(&mut self, path: &Path, ranges: [Range<usize>; 3], name: &str) -> Result<Volume<T>> {
        let shape = ranges.clone().map(|range| range.len());
        // The product fits: that of the whole shape was checked against the length of the file.
        let count = shape.iter().product();
        let mut values = raw::reserve(count).map_err(|bytes| Error::Memory { path: path.into(), bytes })?;
        values.resize(count, T::zeroed());
        let mut data =
            Array3::from_shape_vec(shape, values).map_err(|e| Error::corrupt(path, e.to_string()))?;
        if self.fortran { self.read_columns(&mut data, ranges) } else { self.read_rows(&mut data, ranges) }
            .map_err(|e| Error::read(path, e))?;
        Ok(Volume::new(data, name))
    }

    /// Reads values that lie along x in the file, then y, then z.
    fn read_rows<T: Voxel>(&mut self, data: &mut Array3<T>, [z, y, x]: [Range<usize>; 3]) -> io::Result<()> {
        let [_, height, width] = self.shape;
        let values = data.as_slice_mut().expect("a new array is stored in raster order");
        // Whole rows follow each other, and whole planes.
        let run = match (x.len() == width, y.len() == height) {
            (true, true) => values.len(),
            (true, false) => y.len() * width,
            (false, _) => x.len(),
        };
        let mut runs = values.chunks_exact_mut(run);
        for z in z {
            for y in y.clone().step_by((run / x.len()).clamp(1, y.len())) {
                let Some(run) = runs.next() else { return Ok(()) };
                self.read_from((z * height + y) * width + x.start, run)?;
            }
        }
        Ok(())
    }

    /// Reads values that lie along z in the file, then y, then x.
    fn read_columns<T: Voxel>(
        &mut self,
        data: &mut Array3<T>,
        [z, y, x]: [Range<usize>; 3],
    ) -> io::Result<()> {
        let [depth, height, _] = self.shape;
        let mut columns = vec![T::zeroed(); y.len() * depth];
        for (x, mut plane) in x.zip(data.axis_iter_mut(Axis(2))) {
            self.read_from((x * height + y.start) * depth, &mut columns)?;
            let columns = ArrayView2::from_shape((y.len(), depth), &columns).map_err(io::Error::other)?;
            plane.assign(&columns.slice(s![.., z.clone()]).reversed_axes());
        }
        Ok(())
    }

    /// Reads values that follow each other in the file, the first of them `index` values from the start.
    fn read_from<T: Voxel>(&mut self, index: usize, values: &mut [T]) -> io::Result<()> {
        let place = self.data_start + (index * size_of::<T>()) as u64;
        self.reader.seek(SeekFrom::Start(place))?;
        raw::read_values(&mut self.reader, values, self.big_endian)
    }
}

/// Refuses a header that claims more room than any real one needs, before room is made for it.
fn check_header_length(path: &Path, reader: &mut BufReader<File>) -> Result<()> {
    let mut start = Vec::new();
    reader.by_ref().take(12).read_to_end(&mut start).map_err(|e| Error::read(path, e))?;
    reader.rewind().map_err(|e| Error::read(path, e))?;
    let length = match *start.as_slice() {
        [_, _, _, _, _, _, 1, _, a, b, ..] => usize::from(u16::from_le_bytes([a, b])),
        [_, _, _, _, _, _, _, _, a, b, c, d] => u32::from_le_bytes([a, b, c, d]) as usize,
        _ => return Err(Error::corrupt(path, "the file ends in its NPY header")),
    };
    if length > LONGEST_HEADER {
        return Err(Error::corrupt(path, format!("its NPY header claims to be {length} bytes long")));
    }
    Ok(())
}

/// The type behind a NumPy descriptor such as `<u2`, and whether its bytes are in big-endian order.
fn element(descriptor: &str) -> Option<(Element, bool)> {
    let (order, kind) = descriptor.split_at_checked(1)?;
    let big_endian = match order {
        "<" | "|" => false,
        ">" => true,
        "=" => cfg!(target_endian = "big"),
        _ => return None,
    };
    let dtype = match kind {
        "u1" | "b1" => DType::U8,
        "i1" => DType::I8,
        "u2" => DType::U16,
        "i2" => DType::I16,
        "u4" => DType::U32,
        "i4" => DType::I32,
        "u8" => DType::U64,
        "i8" => DType::I64,
        "f4" => DType::F32,
        "f8" => DType::F64,
        "f2" => return Some((Element::Half, big_endian)),
        _ => return None,
    };
    Some((Element::Plain(dtype), big_endian))
}

/// The three axes of an array, leading axes of length one left out.
fn volume_shape(path: &Path, shape: &[usize]) -> Result<[usize; 3]> {
    let leading = shape.len().saturating_sub(3);
    if let Ok(zyx) = <[usize; 3]>::try_from(&shape[leading..])
        && shape[..leading].iter().all(|&length| length == 1)
    {
        if zyx.contains(&0) {
            return Err(Error::not_a_volume(
                path,
                format!("an empty array {shape:?}"),
                "give a volume with voxels",
            ));
        }
        return Ok(zyx);
    }
    let advice = if shape.len() < 3 {
        "stack the planes of the volume along a first axis"
    } else {
        "save one channel and time point alone, such as array[0]"
    };
    Err(Error::not_a_volume(path, format!("an array of {} axes, {shape:?}", shape.len()), advice))
}
