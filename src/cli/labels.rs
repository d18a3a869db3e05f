//! Label files that belong to volumes.

use super::{Result, files};
use cellseg::{
    Error, Labelled,
    io::{Volume, read_labels},
};
use std::path::{Path, PathBuf};

/// Reads the labels of each volume. `images` are the volumes' files, `labels` files or folders in the same order.
pub(crate) fn read(
    images: &[PathBuf],
    volumes: Vec<Volume<f32>>,
    labels: &[PathBuf],
) -> Result<Vec<Labelled>> {
    let labels = files::all_volumes(labels)?;
    if images.len() != labels.len() {
        return Err(Error::usage(format!(
            "{} volumes and {} label files; each volume needs one, in the same order",
            images.len(),
            labels.len()
        )));
    }
    in_order(images, &labels)?;
    let pair = |(volume, path): (Volume<f32>, &PathBuf)| Ok((volume, read_labels(path)?));
    volumes.into_iter().zip(&labels).map(pair).collect()
}

/// Refuses labels whose names say that they belong to another of the volumes: shapes cannot tell where all are the same.
fn in_order(images: &[PathBuf], labels: &[PathBuf]) -> Result<()> {
    let of = |image: &Path, labels: &Path| stem(labels).starts_with(&stem(image));
    for (image, given) in images.iter().zip(labels) {
        if of(image, given) {
            continue;
        }
        let other = labels.iter().find(|&l| of(image, l));
        if let Some(other) = other {
            return Err(Error::usage(format!(
                "the labels of {} would be {}, but those named after it are {}; give labels in the order of the volumes",
                image.display(),
                given.display(),
                other.display()
            )));
        }
    }
    Ok(())
}

fn stem(path: &Path) -> String {
    path.file_stem().map(|s| s.to_string_lossy().into_owned()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_named_after_another_volume_are_refused_and_other_names_are_not() {
        let paths = |names: &[&str]| names.iter().map(PathBuf::from).collect::<Vec<_>>();
        let images = paths(&["x/a.tif", "x/b.tif"]);
        assert!(in_order(&images, &paths(&["y/a_labels.tif", "y/b_labels.tif"])).is_ok());
        assert!(in_order(&images, &paths(&["y/a.tif", "y/b.tif"])).is_ok());
        assert!(in_order(&images, &paths(&["truth1.tif", "truth2.tif"])).is_ok());
        let why = in_order(&images, &paths(&["y/b_labels.tif", "y/a_labels.tif"])).unwrap_err().to_string();
        assert!(why.contains("y/b_labels.tif") && why.contains("order"), "{why}");
        // The first name is the beginning of the second: both may belong to it.
        let images = paths(&["cell1.tif", "cell10.tif"]);
        assert!(in_order(&images, &paths(&["cell1_l.tif", "cell10_l.tif"])).is_ok());
        assert!(in_order(&images, &paths(&["cell10_l.tif", "cell1_l.tif"])).is_err());
    }
}
