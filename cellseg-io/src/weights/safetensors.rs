//! safetensors: a JSON header, then the plain values.

use std::{
    fs::File,
    io::{Read, Seek, Write},
    path::Path,
};

use ::safetensors::{Dtype, SafeTensorError, SafeTensors};
use ndarray::{ArrayD, IxDyn};
use serde_json::{Map, Value, json};

use super::{Weights, element::Element};
use crate::{AtomicFile, Error, Overwrite, Result};

/// Reads a whole file, which the format's own crate checks: offsets, sizes, no gaps and no overlaps.
pub(super) fn open(path: &Path, mut file: File) -> Result<Weights> {
    let mut bytes = Vec::new();
    file.rewind().and_then(|()| file.read_to_end(&mut bytes)).map_err(|e| Error::read(path, e))?;
    let corrupt = |e: SafeTensorError| Error::corrupt(path, e.to_string());
    let (_, header) = SafeTensors::read_metadata(&bytes).map_err(corrupt)?;
    let mut weights = Weights::default();
    weights
        .metadata
        .extend(header.metadata().iter().flatten().map(|(key, text)| (key.clone(), text.clone())));
    for (name, tensor) in SafeTensors::deserialize(&bytes).map_err(corrupt)?.iter() {
        let element = element(tensor.dtype()).ok_or_else(|| {
            let found = format!("tensor {name} of type {:?}", tensor.dtype());
            Error::unsupported(path, found, "save it as F32, F16, BF16, F64 or integers")
        })?;
        let values = element.to_f32(tensor.data()).map_err(|value| not_in_f32(path, name, &value))?;
        let array = ArrayD::from_shape_vec(IxDyn(tensor.shape()), values)
            .map_err(|e| Error::corrupt(path, format!("tensor {name}: {e}")))?;
        weights.tensors.insert(name.to_owned(), array);
    }
    Ok(weights)
}

/// The number that a tensor's type can hold but `f32` cannot.
pub(super) fn not_in_f32(path: &Path, tensor: &str, value: &str) -> Error {
    let problem = format!("tensor {tensor} holds {value}, which 32-bit floats cannot; leave the tensor out");
    Error::Conversion { path: path.into(), problem }
}

fn element(dtype: Dtype) -> Option<Element> {
    Some(match dtype {
        Dtype::F16 => Element::F16,
        Dtype::BF16 => Element::BF16,
        Dtype::F32 => Element::F32,
        Dtype::F64 => Element::F64,
        Dtype::I8 => Element::I8,
        Dtype::I16 => Element::I16,
        Dtype::I32 => Element::I32,
        Dtype::I64 => Element::I64,
        Dtype::U8 => Element::U8,
        Dtype::U16 => Element::U16,
        Dtype::U32 => Element::U32,
        Dtype::U64 => Element::U64,
        Dtype::BOOL => Element::Bool,
        _ => return None,
    })
}

/// Writes all tensors as F32, in the order of their names.
///
/// The crate's own writer takes the metadata as a hash map, whose order, and so the file, would differ from
/// run to run.
pub(super) fn save(path: &Path, weights: &Weights, overwrite: Overwrite) -> Result<()> {
    const METADATA: &str = "__metadata__";
    if weights.tensors.contains_key(METADATA) {
        return Err(Error::Argument(format!("a tensor cannot be named {METADATA}; rename it")));
    }
    let mut header = Map::new();
    if !weights.metadata.is_empty() {
        header.insert(METADATA.into(), json!(weights.metadata));
    }
    let mut offset = 0;
    for (name, array) in &weights.tensors {
        let end = offset + array.len() * size_of::<f32>();
        let entry = json!({ "dtype": "F32", "shape": array.shape(), "data_offsets": [offset, end] });
        header.insert(name.clone(), entry);
        offset = end;
    }
    let mut header = Value::Object(header).to_string().into_bytes();
    // The values start on a multiple of eight bytes.
    header.resize(header.len().next_multiple_of(8), b' ');
    let mut file = AtomicFile::create(path, overwrite)?;
    let mut write = || {
        file.write_all(&(header.len() as u64).to_le_bytes())?;
        file.write_all(&header)?;
        let values = weights.tensors.values().flat_map(|array| array.iter());
        values.into_iter().try_for_each(|value| file.write_all(&value.to_le_bytes()))
    };
    write().map_err(|e: std::io::Error| Error::write(path, e))?;
    file.commit()
}
