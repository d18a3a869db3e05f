//! Planes as pictures.

use image::{GrayImage, Rgb, RgbImage, imageops};
use ndarray::ArrayView2;

use super::{colour::label_colour, project::Range};
use crate::{Error, Result};

/// How labels are drawn.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Overlay {
    /// Their outlines, inside of the objects.
    Outlines,
    /// Their areas, half transparent.
    Filled,
    /// Areas at a third of their colour, and outlines.
    #[default]
    Both,
}

/// A plane of intensities `(rows, columns)` as a picture of `size` `[height, width]`, smoothly scaled.
///
/// # Errors
/// [`Error::Argument`] if the plane or the picture has no pixels or is wider than 2^32 - 1.
pub fn gray(plane: ArrayView2<'_, f32>, range: Range, size: [u32; 2]) -> Result<GrayImage> {
    let (rows, columns) = picture_size(plane.dim(), size)?;
    let levels = plane.iter().map(|&value| range.level(value)).collect();
    let picture = GrayImage::from_raw(columns, rows, levels)
        .ok_or_else(|| Error::Argument("the plane is too large for a picture".into()))?;
    Ok(imageops::resize(&picture, size[1], size[0], imageops::FilterType::Triangle))
}

/// Draws the labels of a plane `(rows, columns)` over a picture of the same field of view.
///
/// Outlines are one pixel wide however large the voxels are drawn, and run inside of the objects.
///
/// # Errors
/// [`Error::Argument`] if the plane or the picture has no pixels.
pub fn draw_labels(picture: &GrayImage, labels: ArrayView2<'_, u32>, overlay: Overlay) -> Result<RgbImage> {
    let (width, height) = picture.dimensions();
    picture_size(labels.dim(), [height, width])?;
    let (rows, columns) = labels.dim();
    // The label of the voxel that covers a pixel's middle.
    let label_at = |x: u32, y: u32| {
        let nearest = |at: u32, size: u32, count: usize| {
            ((f64::from(at) + 0.5) * count as f64 / f64::from(size)) as usize
        };
        labels[[nearest(y, height, rows).min(rows - 1), nearest(x, width, columns).min(columns - 1)]]
    };
    Ok(RgbImage::from_fn(width, height, |x, y| {
        let level = picture.get_pixel(x, y).0[0];
        let label = label_at(x, y);
        if label == 0 {
            return Rgb([level; 3]);
        }
        let is_edge = [(0, 1), (1, 0), (0, -1), (-1, 0)].into_iter().any(|(dx, dy)| {
            match (x.checked_add_signed(dx), y.checked_add_signed(dy)) {
                (Some(x), Some(y)) if x < width && y < height => label_at(x, y) != label,
                _ => false,
            }
        });
        let opacity = match (overlay, is_edge) {
            (Overlay::Outlines | Overlay::Both, true) => 1.0,
            (Overlay::Outlines, false) => 0.0,
            (Overlay::Filled, _) => 0.5,
            (Overlay::Both, false) => 0.33,
        };
        let colour = label_colour(label);
        Rgb(colour.0.map(|c| (f64::from(c) * opacity + f64::from(level) * (1.0 - opacity)).round() as u8))
    }))
}

/// The plane's size as that of a picture.
fn picture_size((rows, columns): (usize, usize), size: [u32; 2]) -> Result<(u32, u32)> {
    match (u32::try_from(rows), u32::try_from(columns)) {
        (Ok(rows @ 1..), Ok(columns @ 1..)) if !size.contains(&0) => Ok((rows, columns)),
        _ => Err(Error::Argument(format!(
            "a plane of {rows} x {columns} voxels gives no picture of {} x {} pixels",
            size[0], size[1]
        ))),
    }
}

#[cfg(test)]
mod tests {
    use ndarray::{Array2, array};

    use super::*;

    #[test]
    fn rows_run_down_and_columns_to_the_right() {
        let plane = array![[0.0, 1.0, 2.0], [3.0, 4.0, 5.0]];
        let picture = gray(plane.view(), Range { black: 0.0, white: 5.0 }, [2, 3]).unwrap();
        assert_eq!(picture.dimensions(), (3, 2));
        assert_eq!((picture.get_pixel(2, 0).0, picture.get_pixel(0, 1).0), ([102], [153]));
    }

    #[test]
    fn outlines_are_one_pixel_wide_and_inside() {
        let mut labels = Array2::zeros((3, 3));
        labels[[1, 1]] = 1;
        let black = GrayImage::new(12, 12);
        let picture = draw_labels(&black, labels.view(), Overlay::Outlines).unwrap();
        let coloured = picture.enumerate_pixels().filter(|(_, _, p)| p.0 != [0, 0, 0]);
        let places: Vec<(u32, u32)> = coloured.map(|(x, y, _)| (x, y)).collect();
        // The middle voxel is drawn 4 pixels wide, from 4 to 7; all but its inner 2 x 2 pixels are outline.
        assert_eq!(places.len(), 12);
        assert!(places.iter().all(|&(x, y)| (4..8).contains(&x) && (4..8).contains(&y)));
    }

    #[test]
    fn touching_labels_have_an_outline_between_them() {
        let labels = array![[1, 2]];
        let picture = draw_labels(&GrayImage::new(8, 4), labels.view(), Overlay::Outlines).unwrap();
        assert_eq!(*picture.get_pixel(3, 2), label_colour(1));
        assert_eq!(*picture.get_pixel(4, 2), label_colour(2));
        assert_eq!(picture.get_pixel(1, 2).0, [0, 0, 0]);
    }

    #[test]
    fn planes_without_pixels_are_refused() {
        let plane = Array2::zeros((0, 3));
        assert!(gray(plane.view(), Range { black: 0.0, white: 1.0 }, [1, 1]).is_err());
        assert!(gray(Array2::zeros((3, 3)).view(), Range { black: 0.0, white: 1.0 }, [0, 1]).is_err());
    }
}
