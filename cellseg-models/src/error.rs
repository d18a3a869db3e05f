//! What can go wrong, sorted by who must act.

use crate::weights::Mismatch;

/// The result of everything in this crate that can fail.
pub type Result<T> = std::result::Result<T, Error>;

/// What went wrong, with what was given, what was expected and what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// An operation, its memory or its device.
    #[error(transparent)]
    Core(#[from] cellseg_core::Error),
    /// A setting out of its range.
    #[error("setting `{field}` is {given}; expected {expected}")]
    Setting {
        /// Name of the setting.
        field: &'static str,
        /// Its value.
        given: String,
        /// What it should be.
        expected: String,
    },
    /// A volume that nothing can be learnt from or found in.
    #[error("volume {name}: {why}")]
    Volume {
        /// Which volume.
        name: String,
        /// What is wrong with it, and what to do.
        why: String,
    },
    /// Weights of another network, or of this one in another size.
    #[error("{0}")]
    Weights(Box<Mismatch>),
    /// A checkpoint that training cannot go on from.
    #[error("checkpoint: {0}")]
    Checkpoint(String),
    /// A loss that is no longer a number.
    #[error(
        "training diverged: the {loss} loss is {value} at step {step}; continue from an earlier checkpoint with a \
         lower learning_rate (now {learning_rate}) or a lower clip_norm; with compute = \"f16\", bf16 has a wider range"
    )]
    Diverged {
        /// Which of the losses.
        loss: &'static str,
        /// Its value.
        value: f64,
        /// The step, counted from 1.
        step: u64,
        /// The learning rate of that step.
        learning_rate: f64,
    },
    /// The observer could not store a checkpoint.
    #[error("a checkpoint could not be stored: {0}")]
    Store(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The observer asked to stop before there was a result.
    #[error("stopped on request before the result was complete")]
    Cancelled,
}

impl Error {
    pub(crate) fn setting(
        field: &'static str,
        given: impl std::fmt::Debug,
        expected: impl Into<String>,
    ) -> Self {
        Error::Setting { field, given: format!("{given:?}"), expected: expected.into() }
    }

    pub(crate) fn volume(name: impl Into<String>, why: impl Into<String>) -> Self {
        Error::Volume { name: name.into(), why: why.into() }
    }
}
