//! Compiled kernels kept on disk between runs.
//!
//! A file holds the whole text that it was compiled from, beside the image: what is read is compared, not trusted to a
//! hash. Everything here is a convenience: a cache that cannot be read or written is no cache, and no error.

use etcetera::BaseStrategy;
use std::{
    env, fs,
    hash::{DefaultHasher, Hash, Hasher},
    io::Write,
    path::PathBuf,
};

/// Names the directory to keep compiled kernels in; empty for none.
const DIRECTORY: &str = "CELLSEG_CACHE_DIR";

fn directory() -> Option<PathBuf> {
    match env::var_os(DIRECTORY) {
        Some(named) if named.is_empty() => None,
        Some(named) => Some(named.into()),
        None => Some(etcetera::choose_base_strategy().ok()?.cache_dir().join("cellseg")),
    }
}

fn path(key: &str) -> Option<PathBuf> {
    let mut hasher = DefaultHasher::new();
    key.hash(&mut hasher);
    Some(directory()?.join(format!("{:016x}.kernel", hasher.finish())))
}

/// The image that was kept for this key.
pub(super) fn read(key: &str) -> Option<Vec<u8>> {
    let mut bytes = fs::read(path(key)?).ok()?;
    let (head, rest) = bytes.split_first_chunk::<8>()?;
    let length = usize::try_from(u64::from_le_bytes(*head)).ok()?;
    let (kept, image) = rest.split_at_checked(length)?;
    if kept != key.as_bytes() || image.is_empty() {
        return None;
    }
    bytes.drain(..8 + length);
    Some(bytes)
}

/// Keeps an image: written under a temporary name and renamed, so that no other process reads half of it.
pub(super) fn write(key: &str, image: &[u8]) {
    let keep = || -> Option<()> {
        let path = path(key)?;
        let directory = path.parent()?;
        fs::create_dir_all(directory).ok()?;
        let mut file = tempfile::NamedTempFile::new_in(directory).ok()?;
        file.write_all(&(key.len() as u64).to_le_bytes()).ok()?;
        file.write_all(key.as_bytes()).ok()?;
        file.write_all(image).ok()?;
        file.persist(path).ok()?;
        Some(())
    };
    let _ = keep();
}
