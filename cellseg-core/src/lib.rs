//! Tensors, devices, and the tape that gradients are read from.
//!
//! This crate knows no operation by name: an operation is a type of another crate that implements [`Kernel`] (how to
//! compute it on each device) and [`Op`] (what to keep for its gradient, and the gradient itself). [`apply`] does what
//! all of them share: shapes and devices are checked, memory is taken, the result is recorded on the [`Tape`] that
//! travels with the inputs.
//!
//! ```
//! use cellseg_core::{Tensor, Tape};
//! let x = Tensor::from_slice(&[1.0f32, 2.0, 3.0, 4.0], &[2, 2])?;
//! assert_eq!(x.shape().dims(), &[2, 2]);
//! assert_eq!(x.to_vec::<f32>()?, [1.0, 2.0, 3.0, 4.0]);
//! # Ok::<(), cellseg_core::Error>(())
//! ```
//!
//! **One layout.** Volumes are channels last, `[n, d, h, w, c]`, and convolution kernels `[kd, kh, kw, in, out]`; every
//! tensor is contiguous. **No global state**: recording is asked for by `x.on(&tape)`, and nothing is recorded otherwise.

mod choice;
pub mod cuda;
mod derived;
mod device;
mod dtype;
mod error;
pub mod memory;
mod ndarrays;
mod op;
mod rng;
mod shape;
mod storage;
mod tape;
mod tensor;
#[cfg(feature = "testing")]
pub mod testing;

pub use choice::DeviceChoice;
pub use device::Device;
pub use dtype::{DType, Element, Real};
pub use error::{Error, Result};
pub use op::{Kernel, Op, apply, run};
pub use rng::{Rng, philox, philox_fill};
pub use shape::{MAX_RANK, Shape};
pub use storage::{Buffer, CpuBuffer};
pub use tape::{Gradients, Tape, checkpoint};
pub use tensor::{Id, Tensor};
