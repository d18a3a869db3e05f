//! Compiled kernels kept on disk between runs.
//!
//! A file holds the whole text that it was compiled from, beside the image and its checksum: what is read is compared, not
//! trusted to its name. Everything here is a convenience: a cache that cannot be read or written is no cache, and no error.

use etcetera::BaseStrategy;
use std::{
    env, fs,
    hash::{DefaultHasher, Hash, Hasher},
    io::{self, Write},
    path::{Path, PathBuf},
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

fn hash(bytes: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    bytes.hash(&mut hasher);
    hasher.finish()
}

fn path(directory: &Path, key: &str) -> PathBuf {
    directory.join(format!("{:016x}.kernel", hash(key.as_bytes())))
}

/// The image that was kept for this key.
pub(super) fn read(key: &str) -> Option<Vec<u8>> {
    read_in(&directory()?, key)
}

fn read_in(directory: &Path, key: &str) -> Option<Vec<u8>> {
    let mut bytes = fs::read(path(directory, key)).ok()?;
    let (length, rest) = bytes.split_first_chunk::<8>()?;
    let (sum, rest) = rest.split_first_chunk::<8>()?;
    let length = usize::try_from(u64::from_le_bytes(*length)).ok()?;
    let (kept, image) = rest.split_at_checked(length)?;
    if kept != key.as_bytes() || hash(image) != u64::from_le_bytes(*sum) {
        return None;
    }
    bytes.drain(..16 + length);
    Some(bytes)
}

/// Keeps an image: written under a temporary name and renamed, so that no other process reads half of it.
pub(super) fn write(key: &str, image: &[u8]) {
    let _ = directory().and_then(|directory| write_in(&directory, key, image).ok());
}

fn write_in(directory: &Path, key: &str, image: &[u8]) -> io::Result<()> {
    fs::create_dir_all(directory)?;
    let mut file = tempfile::NamedTempFile::new_in(directory)?;
    file.write_all(&(key.len() as u64).to_le_bytes())?;
    file.write_all(&hash(image).to_le_bytes())?;
    file.write_all(key.as_bytes())?;
    file.write_all(image)?;
    file.persist(path(directory, key))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_comes_back_for_its_own_key_and_only_whole() -> io::Result<()> {
        let directory = tempfile::tempdir()?;
        let (key, image) = ("a kernel's text\nsm_90a", [7u8, 0, 255, 3]);
        assert_eq!(read_in(directory.path(), key), None);
        write_in(directory.path(), key, &image)?;
        assert_eq!(read_in(directory.path(), key).as_deref(), Some(&image[..]));
        assert_eq!(read_in(directory.path(), "another kernel"), None);
        let file = path(directory.path(), key);
        let whole = fs::read(&file)?;
        for length in 0..whole.len() {
            fs::write(&file, &whole[..length])?;
            assert_eq!(read_in(directory.path(), key), None, "{length} bytes of {}", whole.len());
        }
        let mut damaged = whole;
        if let Some(last) = damaged.last_mut() {
            *last ^= 1;
        }
        fs::write(&file, damaged)?;
        assert_eq!(read_in(directory.path(), key), None);
        Ok(())
    }
}
