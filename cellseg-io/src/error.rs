//! What can go wrong, by who has to act.

use std::{
    io,
    path::{Path, PathBuf},
};

/// The result of everything in this crate that can fail.
pub type Result<T> = std::result::Result<T, Error>;

/// Why a file could not be read or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The operating system refused to open or read a file.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// A file could not be written; no part of it was left behind.
    #[error(
        "cannot write {}: {source}; \
         the unfinished file was removed and an older file of that name is untouched",
        path.display()
    )]
    Write {
        /// The file that was to be written.
        path: PathBuf,
        /// What went wrong.
        source: io::Error,
    },
    /// The output is there already and was not to be replaced.
    #[error("{} exists already; choose another name, or ask for it to be replaced", path.display())]
    Exists {
        /// The existing file.
        path: PathBuf,
    },
    /// The file is of a kind, or uses a feature, that is not read here.
    #[error("{}: {found} is not supported; {advice}", path.display())]
    Unsupported {
        /// The file.
        path: PathBuf,
        /// What was found in it.
        found: String,
        /// What is supported, or how to convert the file.
        advice: String,
    },
    /// The file contradicts itself or ends too early.
    #[error("{} is damaged or incomplete: {problem}; copy or export it again", path.display())]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// The contradiction.
        problem: String,
    },
    /// The file is sound but does not hold one volume of voxels.
    #[error("{} holds {found}, but a volume (z, y, x) is needed; {advice}", path.display())]
    NotAVolume {
        /// The file.
        path: PathBuf,
        /// Its axes and their lengths.
        found: String,
        /// How to make a volume of it.
        advice: String,
    },
    /// The values do not fit into the type that they are wanted in.
    #[error("{}: {problem}", path.display())]
    Conversion {
        /// The file.
        path: PathBuf,
        /// The first value that does not fit, where it is, and what would fit.
        problem: String,
    },
    /// More memory is needed than can be had.
    #[error("{} needs {bytes} bytes of memory for its values, which cannot be had", path.display())]
    Memory {
        /// The file.
        path: PathBuf,
        /// The number of bytes that was asked for.
        bytes: u64,
    },
    /// An argument makes no sense by itself.
    #[error("{0}")]
    Argument(String),
}

impl Error {
    /// Blames the operating system for a failed read.
    pub(crate) fn read(path: &Path, source: io::Error) -> Self {
        Self::Read { path: path.into(), source }
    }

    /// Blames a failed write on whatever `source` says.
    pub(crate) fn write(path: &Path, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        let source = match source.into().downcast::<io::Error>() {
            Ok(io) => *io,
            Err(other) => io::Error::other(other),
        };
        Self::Write { path: path.into(), source }
    }

    /// Reports a contradiction in a file.
    pub(crate) fn corrupt(path: &Path, problem: impl Into<String>) -> Self {
        Self::Corrupt { path: path.into(), problem: problem.into() }
    }

    /// Reports a feature that is not read, and the way round it.
    pub(crate) fn unsupported(path: &Path, found: impl Into<String>, advice: impl Into<String>) -> Self {
        Self::Unsupported { path: path.into(), found: found.into(), advice: advice.into() }
    }

    /// Reports an array with too few or too many axes.
    pub(crate) fn not_a_volume(path: &Path, found: impl Into<String>, advice: impl Into<String>) -> Self {
        Self::NotAVolume { path: path.into(), found: found.into(), advice: advice.into() }
    }
}
