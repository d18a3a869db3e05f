//! Files and folders of files as inputs, and the names of their outputs.

use super::Result;
use cellseg::{Error, io::volumes_in};
use std::path::{Path, PathBuf};

/// The volumes that `path` names: itself, or all volumes of a folder in the order of their names.
pub(crate) fn volumes(path: &Path) -> Result<Vec<PathBuf>> {
    Ok(if path.is_dir() { volumes_in(path)? } else { vec![path.to_owned()] })
}

/// All volumes that several paths name.
pub(crate) fn all_volumes(paths: &[PathBuf]) -> Result<Vec<PathBuf>> {
    let mut all = Vec::new();
    for path in paths {
        all.extend(volumes(path)?);
    }
    Ok(all)
}

/// The file in `folder` that belongs to `input`: its stem with `suffix` behind it.
pub(crate) fn beside(folder: &Path, input: &Path, suffix: &str) -> PathBuf {
    folder.join(format!("{}{suffix}", stem(input)))
}

/// `path` with `suffix` in the place of its extension.
pub(crate) fn replace_extension(path: &Path, suffix: &str) -> PathBuf {
    path.with_file_name(format!("{}{suffix}", stem(path)))
}

fn stem(path: &Path) -> String {
    path.file_stem().map(|s| s.to_string_lossy().into_owned()).unwrap_or_default()
}

/// Makes a folder for outputs, with all of its parents.
pub(crate) fn make_folder(path: &Path) -> Result<()> {
    std::fs::create_dir_all(path)
        .map_err(|e| Error::usage(format!("cannot make the folder {}: {e}", path.display())))
}

/// `path` with `suffix` between its stem and its extension.
pub(crate) fn insert_suffix(path: &Path, suffix: &str) -> PathBuf {
    let extension = path.extension().map(|e| format!(".{}", e.to_string_lossy())).unwrap_or_default();
    path.with_file_name(format!("{}{suffix}{extension}", stem(path)))
}

/// Parses extents `z,y,x` in voxels.
pub(crate) fn shape(text: &str) -> std::result::Result<[usize; 3], String> {
    let extents: Vec<usize> = text
        .split(',')
        .map(|s| s.trim().parse().map_err(|e| format!("`{s}` is no number of voxels: {e}")))
        .collect::<std::result::Result<_, String>>()?;
    extents.try_into().map_err(|_| "give three numbers of voxels, z,y,x, as in 32,64,64".to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shape_is_three_numbers() {
        assert_eq!(shape("2, 3,4"), Ok([2, 3, 4]));
        for wrong in ["", "1", "1,2", "1,2,3,4", "1,2,x", "1,2,-1", "1,2,0.5"] {
            assert!(shape(wrong).is_err(), "{wrong}");
        }
    }
}
