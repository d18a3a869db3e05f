//! How the copy engine of Hopper and later GPUs (TMA) sees a tensor.

use super::{CudaBuffer, Value};
use crate::{Error, Result};

/// A tensor on a GPU as its copy engine sees it, for kernels that fetch boxes of it: passed by value, as
/// `const __grid_constant__ TensorMap`. What a box covers outside the tensor reads as zero.
#[repr(C, align(64))]
#[derive(Clone, Copy)]
pub struct TensorMap([u64; 16]);

/// The same bytes with the alignment of an argument; the driver copies them to where the kernel wants them.
#[repr(C)]
#[derive(Clone, Copy)]
pub(super) struct Bytes([u64; 16]);

// SAFETY: 128 bytes that mean the same on both sides.
unsafe impl Value for Bytes {}

impl TensorMap {
    /// The bytes to pass to a kernel.
    pub(super) fn bytes(&self) -> Bytes {
        Bytes(self.0)
    }

    /// A contiguous tensor of 16-bit numbers with these extents, outermost first, fetched in boxes of `edges`. The
    /// innermost edge is 64 numbers, 128 bytes: a row. In shared memory the 16-byte pieces of row `r` are exchanged by
    /// `r % 8`, so that eight rows of one column lie in different banks, and as matrix products want them.
    ///
    /// # Errors
    /// [`Error::Argument`] where extents and box do not fit this description or the buffer; [`Error::Device`] where the
    /// driver refuses.
    pub fn in_rows_of_64(buffer: &CudaBuffer, extents: &[usize], edges: &[usize]) -> Result<Self> {
        const NAME: &str = "tensor map";
        let fits = extents.len() == edges.len()
            && (2..=5).contains(&extents.len())
            && extents.iter().product::<usize>() == buffer.len()
            && edges.iter().all(|&e| (1..=256).contains(&e))
            && edges.last() == Some(&64)
            && extents.last().is_some_and(|e| e % 8 == 0)
            && buffer.dtype().size() == 2;
        if !fits {
            return Err(Error::argument(
                NAME,
                format!(
                    "extents {extents:?} and box {edges:?} for {} numbers of type {:?}; two to five axes of which the last \
                     is a multiple of 8 with an edge of 64, edges up to 256 and 16-bit numbers are expected",
                    buffer.len(),
                    buffer.dtype()
                ),
            ));
        }
        encode(buffer, extents, edges)
    }
}

#[cfg(not(feature = "cuda"))]
fn encode(buffer: &CudaBuffer, _: &[usize], _: &[usize]) -> Result<TensorMap> {
    Err(Error::NoKernel { op: "tensor map", device: buffer.device().name() })
}

#[cfg(feature = "cuda")]
fn encode(buffer: &CudaBuffer, extents: &[usize], edges: &[usize]) -> Result<TensorMap> {
    use super::{driver::failed, symbols::has};
    use crate::DType;
    use cudarc::driver::sys::{
        self, CUtensorMap, CUtensorMapDataType as Type, CUtensorMapFloatOOBfill as Fill,
        CUtensorMapInterleave as Interleave, CUtensorMapL2promotion as Promotion,
        CUtensorMapSwizzle as Swizzle,
    };
    let device = buffer.device();
    // Innermost first, and strides in bytes of all axes but the innermost: that is how the driver counts.
    let dims: Vec<u64> = extents.iter().rev().map(|&e| e as u64).collect();
    let edges: Vec<u32> = edges.iter().rev().map(|&e| e as u32).collect();
    let strides: Vec<u64> = dims
        .iter()
        .scan(buffer.dtype().size() as u64, |stride, d| {
            *stride *= d;
            Some(*stride)
        })
        .collect();
    let dtype = match buffer.dtype() {
        DType::F16 => Type::CU_TENSOR_MAP_DATA_TYPE_FLOAT16,
        _ => Type::CU_TENSOR_MAP_DATA_TYPE_BFLOAT16,
    };
    // SAFETY: the library was opened when the device was.
    if !has(unsafe { sys::culib() }, b"cuTensorMapEncodeTiled\0") {
        return Err(Error::Device(
            "the CUDA driver is too old for its GPU's copy engine; install a newer one".into(),
        ));
    }
    let mut map = TensorMap([0; 16]);
    device
        .bind()
        // SAFETY: the map is 128 bytes aligned to 64; the arrays hold as many numbers as the rank says.
        .and_then(|()| unsafe {
            sys::cuTensorMapEncodeTiled(
                (&raw mut map).cast::<CUtensorMap>(),
                dtype,
                dims.len() as u32,
                buffer.address() as *mut std::ffi::c_void,
                dims.as_ptr(),
                strides.as_ptr(),
                edges.as_ptr(),
                [1; 5].as_ptr(),
                Interleave::CU_TENSOR_MAP_INTERLEAVE_NONE,
                Swizzle::CU_TENSOR_MAP_SWIZZLE_128B,
                Promotion::CU_TENSOR_MAP_L2_PROMOTION_L2_256B,
                Fill::CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE,
            )
            .result()
        })
        .map_err(|e| failed(format!("a tensor map on {}", device.name()), e))?;
    Ok(map)
}
