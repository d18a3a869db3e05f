//! Pictures for people: slices, projections, labels on top.
//!
//! Volumes are shown with y down and x to the right. [`preview`] shows them from three sides at once, in true
//! proportions whatever the voxel size:
//!
//! ```text
//! +------+---+   the volume seen along z (y down, x right), and to its right along x (y down, z right);
//! |  xy  |zy |   below it along y (z down, x right). Left the intensities alone, right the labels on them.
//! +------+---+
//! |  xz  |
//! +------+
//! ```

mod colour;
mod draw;
mod panels;
mod project;

use std::path::Path;

use image::{DynamicImage, ImageFormat};

pub use self::{
    colour::label_colour,
    draw::{Overlay, draw_labels, gray},
    panels::{PreviewOptions, preview, side_by_side},
    project::{Range, View, project, project_labels},
};
use crate::{AtomicFile, Error, Overwrite, Result};

/// Writes a picture as PNG.
///
/// # Errors
/// [`Error::Argument`] for a name that does not end in `.png`; else as [`AtomicFile::create`] and
/// [`AtomicFile::commit`].
pub fn write_png(
    path: impl AsRef<Path>,
    picture: impl Into<DynamicImage>,
    overwrite: Overwrite,
) -> Result<()> {
    let path = path.as_ref();
    if !path.extension().is_some_and(|e| e.eq_ignore_ascii_case("png")) {
        return Err(Error::Argument(format!("pictures are written as PNG; name {} .png", path.display())));
    }
    let mut file = AtomicFile::create(path, overwrite)?;
    picture.into().write_to(&mut file, ImageFormat::Png).map_err(|e| match e {
        image::ImageError::IoError(e) => Error::write(path, e),
        e => Error::write(path, e),
    })?;
    file.commit()
}
