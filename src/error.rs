//! What can go wrong anywhere on the way from a volume to counted cells.

/// The result of everything in this crate that can fail.
pub type Result<T> = std::result::Result<T, Error>;

/// What went wrong, with what was given, what was expected and what to do: the error of the crate whose task it was.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Of a tensor, an operation or a device.
    #[error(transparent)]
    Core(#[from] cellseg_core::Error),
    /// Of a network, its training or its inference.
    #[error(transparent)]
    Models(#[from] cellseg_models::Error),
    /// Of thresholds, instances, statistics or scores.
    #[error(transparent)]
    Post(#[from] cellseg_post::Error),
    /// Of a file.
    #[error(transparent)]
    Io(#[from] cellseg_io::Error),
    /// Of a setting that only makes sense, or does not, together with others.
    #[error("{0}")]
    Usage(String),
}

impl Error {
    /// An [`Error::Usage`].
    pub fn usage(why: impl Into<String>) -> Self {
        Error::Usage(why.into())
    }
}
