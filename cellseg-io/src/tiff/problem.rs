//! What is wrong with a TIFF, before the name of the file is added.

use std::{borrow::Cow, io, path::Path};

use crate::Error;

/// Why a file gives no volume.
#[derive(Debug)]
pub(super) enum Problem {
    /// It cannot be read, or ends early.
    Io(io::Error),
    /// It contradicts itself.
    Corrupt(String),
    /// It uses something that is not read here: what, and what to do.
    Unsupported(String, Cow<'static, str>),
    /// It is sound, but not one volume: what it holds, and what to do.
    NotAVolume(String, &'static str),
    /// Its voxels need more bytes than there are.
    Memory(u64),
}

impl Problem {
    /// The error for the file at `path`.
    pub(super) fn at(self, path: &Path) -> Error {
        match self {
            Self::Io(e) if e.kind() == io::ErrorKind::UnexpectedEof => {
                Error::corrupt(path, "the file ends too early")
            }
            Self::Io(e) => Error::read(path, e),
            Self::Corrupt(problem) => Error::corrupt(path, problem),
            Self::Unsupported(found, advice) => Error::unsupported(path, found, advice),
            Self::NotAVolume(found, advice) => Error::not_a_volume(path, found, advice),
            Self::Memory(bytes) => Error::Memory { path: path.into(), bytes },
        }
    }
}

impl From<io::Error> for Problem {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}
