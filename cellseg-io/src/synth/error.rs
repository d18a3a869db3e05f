//! Why a volume cannot be made.

use thiserror::Error;

/// Why a synthetic volume cannot be made.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum SynthError {
    /// An option is out of range.
    #[error("synth option `{option}` is {given}; expected {expected}")]
    Option {
        /// Name of the field of [`SynthOptions`](super::SynthOptions).
        option: &'static str,
        /// Its value.
        given: String,
        /// What it should be.
        expected: String,
    },
    /// There is no room left for more nuclei.
    #[error(
        "only {placed} of {wanted} nuclei found room; ask for fewer or smaller ones, a larger volume, or more \
         `compression`"
    )]
    Crowded {
        /// Nuclei asked for.
        wanted: usize,
        /// Nuclei placed.
        placed: usize,
    },
    /// The volume does not fit into memory.
    #[error("a volume of {shape:?} voxels needs {bytes} bytes that cannot be had; make it smaller")]
    Memory {
        /// Voxels `(z, y, x)`.
        shape: [usize; 3],
        /// Bytes asked for.
        bytes: usize,
    },
}
