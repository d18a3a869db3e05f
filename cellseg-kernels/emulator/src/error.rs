//! What can go wrong before the command runs.

use std::{io, path::PathBuf};

/// Why the emulated device could not be built or the command not be run.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("{path}: {source}")]
    File { path: PathBuf, source: io::Error },

    #[error("{path}:{line}: {found}; {expected}")]
    Header { path: PathBuf, line: usize, found: String, expected: &'static str },

    #[error(
        "{0} could not be started: {1}; the emulated device is C++, so install a C++17 compiler (Debian: `apt-get \
         install g++`) or name one in CXX"
    )]
    NoCompiler(String, io::Error),

    #[error("{0} was not compiled:\n{1}")]
    Compile(String, String),

    #[error("the emulated device needs Linux: it takes the place of libcuda.so.1 by LD_LIBRARY_PATH")]
    System,

    #[error("the command {0} could not be started: {1}")]
    Command(String, io::Error),
}

pub(crate) type Result<T> = std::result::Result<T, Error>;
