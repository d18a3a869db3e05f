//! What can go wrong, sorted by who must act.

use crate::{DType, Shape};

/// The result of everything in this crate that can fail.
pub type Result<T> = std::result::Result<T, Error>;

/// What went wrong, with what was given, what was expected and what to do.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// An argument of an operation has the wrong shape or a setting is out of its range: the caller must act.
    #[error("{op}: {why}")]
    Argument {
        /// The operation.
        op: &'static str,
        /// What was given and what was expected.
        why: String,
    },
    /// An element type that the operation does not take.
    #[error("{op}: element type {found:?} where {expected} is expected; convert with Tensor::cast")]
    DType {
        /// The operation.
        op: &'static str,
        /// The type of the offending input.
        found: DType,
        /// The types that would do.
        expected: &'static str,
    },
    /// As many numbers as the shape needs were not given.
    #[error("{given} numbers do not fill the shape {shape:?}, which holds {}", shape.count())]
    Count {
        /// How many were given.
        given: usize,
        /// The shape that they should fill.
        shape: Shape,
    },
    /// A device is missing, or the tensors of one operation lie on different devices.
    #[error("{0}")]
    Device(String),
    /// An operation that a device cannot run.
    #[error("{op} has no kernel for {device}; move its inputs with Tensor::to(&Device::Cpu)")]
    NoKernel {
        /// The operation.
        op: &'static str,
        /// The device's name.
        device: String,
    },
    /// Memory that the device does not have.
    #[error(
        "{bytes} bytes of memory could not be had on {device}; use smaller windows, batches or channel widths"
    )]
    Memory {
        /// How many bytes were asked for.
        bytes: usize,
        /// The device's name.
        device: String,
    },
    /// A gradient that cannot be computed as asked.
    #[error("{0}")]
    Gradient(&'static str),
}

impl Error {
    /// An [`Error::Argument`] of the operation `op`.
    pub fn argument(op: &'static str, why: impl Into<String>) -> Self {
        Error::Argument { op, why: why.into() }
    }
}
