//! NVIDIA GPUs: the device, its buffers, and how a kernel of another crate is compiled and launched.
//!
//! The types exist in every build, so that no signature depends on a feature; without the `cuda` feature they have no
//! values, and [`Cuda::probe`] says so.
//!
//! A kernel is CUDA C++ text in the crate of its operation. Nothing is compiled when the library is built: NVRTC does
//! it at the first launch, for the very device at hand, and the result is kept on disk. Before each text goes the same
//! prelude, `device_code/*.cuh`, so kernels include nothing and a user needs no CUDA toolkit: `libcuda` comes with the
//! driver, `libnvrtc` with one Python wheel or with any toolkit.

mod launch;

#[cfg(not(feature = "cuda"))]
mod absent;
#[cfg(feature = "cuda")]
mod buffer;
#[cfg(feature = "cuda")]
mod compiler;
#[cfg(feature = "cuda")]
mod device;
#[cfg(feature = "cuda")]
mod driver;
#[cfg(feature = "cuda")]
mod elementwise;
#[cfg(feature = "cuda")]
mod event;
#[cfg(feature = "cuda")]
mod functions;
#[cfg(feature = "cuda")]
mod kept;
#[cfg(feature = "cuda")]
mod memory;
#[cfg(feature = "cuda")]
mod nvrtc;
#[cfg(feature = "cuda")]
mod pinned;
#[cfg(feature = "cuda")]
mod symbols;
mod tensor_map;

#[cfg(not(feature = "cuda"))]
pub use absent::{Cuda, CudaBuffer, Pinned, Upload};
#[cfg(feature = "cuda")]
pub use buffer::CudaBuffer;
#[cfg(feature = "cuda")]
pub use device::Cuda;
#[cfg(feature = "cuda")]
pub use pinned::{Pinned, Upload};

pub use launch::{Arguments, Launch, Source, Value};
pub use tensor_map::TensorMap;

use crate::{DType, Error, Result};

/// What goes before the text of every kernel, name and text of each file in order: types, reductions, random numbers,
/// one function for each PTX instruction, activations, walks over arrays, matrix products by warps, links of convolutions,
/// tokens of windows.
pub const PRELUDE: &[(&str, &str)] = &[
    ("types.cuh", include_str!("device_code/types.cuh")),
    ("reduce.cuh", include_str!("device_code/reduce.cuh")),
    ("philox.cuh", include_str!("device_code/philox.cuh")),
    ("ptx.cuh", include_str!("device_code/ptx.cuh")),
    ("hopper.cuh", include_str!("device_code/hopper.cuh")),
    ("activation.cuh", include_str!("device_code/activation.cuh")),
    ("elements.cuh", include_str!("device_code/elements.cuh")),
    ("product.cuh", include_str!("device_code/product.cuh")),
    ("links.cuh", include_str!("device_code/links.cuh")),
    ("windows.cuh", include_str!("device_code/windows.cuh")),
];

impl Cuda {
    /// The name that device code gives to this element type: `f32`, `f16` or `bf16`.
    ///
    /// # Errors
    /// [`Error::DType`] for every other type, in the name of the operation `op`.
    pub fn real(op: &'static str, dtype: DType) -> Result<&'static str> {
        dtype.cuda_name().ok_or(Error::DType {
            op,
            found: dtype,
            expected: "f32, f16 or bf16 on a GPU (f64 runs on the CPU only)",
        })
    }
}
