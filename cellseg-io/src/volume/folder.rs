//! The volumes in a folder.

use std::path::{Path, PathBuf};

use crate::{Error, Result};

/// The files in a folder that are named like volumes (`.tif`, `.tiff`, `.btf`, `.npy`), sorted by name.
///
/// Folders in it are not entered; hidden files, among them unfinished outputs, are left out.
///
/// # Errors
/// [`Error::Read`] if the folder cannot be read, [`Error::Argument`] if there is no such file in it.
pub fn volumes_in(folder: impl AsRef<Path>) -> Result<Vec<PathBuf>> {
    let folder = folder.as_ref();
    let mut volumes = Vec::new();
    for entry in folder.read_dir().map_err(|e| Error::read(folder, e))? {
        let path = entry.map_err(|e| Error::read(folder, e))?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().to_ascii_lowercase();
        let is_volume = [".tif", ".tiff", ".btf", ".npy"].iter().any(|extension| name.ends_with(extension));
        if is_volume && !name.starts_with('.') && path.is_file() {
            volumes.push(path);
        }
    }
    if volumes.is_empty() {
        let folder = folder.display();
        return Err(Error::Argument(format!(
            "{folder} holds no volumes; put .tif, .tiff or .npy files there"
        )));
    }
    volumes.sort();
    Ok(volumes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn volumes_come_sorted_and_alone() {
        let folder = tempfile::tempdir().unwrap();
        assert!(matches!(volumes_in(folder.path()), Err(Error::Argument(_))));
        for name in ["b.TIF", "a.npy", ".a.tif.part", ".hidden.tif", "notes.txt", "c.ome.tiff"] {
            std::fs::write(folder.path().join(name), "").unwrap();
        }
        std::fs::create_dir(folder.path().join("d.tif")).unwrap();
        let names: Vec<_> = volumes_in(folder.path())
            .unwrap()
            .iter()
            .map(|path| path.file_name().unwrap().to_string_lossy().into_owned())
            .collect();
        assert_eq!(names, ["a.npy", "b.TIF", "c.ome.tiff"]);
        assert!(matches!(volumes_in(folder.path().join("none")), Err(Error::Read { .. })));
    }
}
