//! NVIDIA GPUs: the device and its buffers.
//!
//! The types exist in every build, so that no signature depends on a feature; without the `cuda` feature they have no
//! values, and [`Cuda::probe`] says so.

#[cfg(not(feature = "cuda"))]
mod absent;
#[cfg(feature = "cuda")]
mod present;

#[cfg(not(feature = "cuda"))]
pub use absent::{Cuda, CudaBuffer};
#[cfg(feature = "cuda")]
pub use present::{Cuda, CudaBuffer};
