//! A volume from three sides, with and without its labels.

use image::{DynamicImage, Rgb, RgbImage, imageops};
use ndarray::{ArrayView2, ArrayView3};

use super::{
    draw::{Overlay, draw_labels, gray},
    project::{Range, View, project, project_labels},
};
use crate::{Error, Result, Spacing};

/// Settings of [`preview`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PreviewOptions {
    /// The wider side of the three views together, in pixels; small volumes are drawn larger, big ones
    /// smaller.
    pub size: u32,
    /// The percentiles of the intensities that are shown as black and white.
    pub percentiles: [f64; 2],
    /// How the labels are drawn.
    pub overlay: Overlay,
}

impl Default for PreviewOptions {
    fn default() -> Self {
        Self { size: 640, percentiles: [1.0, 99.8], overlay: Overlay::default() }
    }
}

/// Pixels between two views.
const GAP: u32 = 6;
const PAPER: Rgb<u8> = Rgb([48, 48, 48]);

/// Maximum projections of a volume `(z, y, x)` from three sides in true proportions, and beside them the same
/// with labels, if there are any.
///
/// # Errors
/// [`Error::Argument`] for a volume without voxels, labels of another shape, or a size that leaves no pixel
/// for a view.
pub fn preview(
    volume: ArrayView3<'_, f32>,
    labels: Option<ArrayView3<'_, u32>>,
    spacing: Option<Spacing>,
    options: &PreviewOptions,
) -> Result<RgbImage> {
    let sizes = view_sizes(physical_lengths(volume.dim(), spacing), options.size)?;
    let views = [0, 1, 2].map(|axis| View::Max { axis });
    let planes = views.into_iter().map(|view| project(volume, view)).collect::<Result<Vec<_>>>()?;
    let [low, high] = options.percentiles;
    let range = Range::percentiles(planes.iter().flatten(), low, high);
    let (mut plain, mut labelled) = (Vec::new(), Vec::new());
    for ((view, plane), size) in views.into_iter().zip(&planes).zip(sizes) {
        let picture = gray(upright(plane.view(), view.axis()), range, size)?;
        if let Some(labels) = labels {
            let plane = project_labels(labels, volume, view)?;
            labelled.push(draw_labels(&picture, upright(plane.view(), view.axis()), options.overlay)?);
        }
        plain.push(DynamicImage::from(picture).into_rgb8());
    }
    let pictures = [plain, labelled].into_iter().filter(|views| !views.is_empty());
    Ok(row(&pictures.map(|views| three_sides(&views)).collect::<Vec<_>>()))
}

/// A slice or projection, and beside it the same with labels, in true proportions; `size` is that of its
/// wider side.
///
/// # Errors
/// As [`preview`], and [`Error::Argument`] if the view is not there.
pub fn side_by_side(
    volume: ArrayView3<'_, f32>,
    labels: ArrayView3<'_, u32>,
    spacing: Option<Spacing>,
    view: View,
    options: &PreviewOptions,
) -> Result<RgbImage> {
    let axis = view.axis();
    let plane = project(volume, view)?;
    let labels = project_labels(labels, volume, view)?;
    let [low, high] = options.percentiles;
    let range = Range::percentiles(&plane, low, high);
    let [z, y, x] = physical_lengths(volume.dim(), spacing);
    let [height, width] = [[y, x], [z, x], [y, z]][axis];
    let scale = f64::from(options.size) / height.max(width);
    let picture = gray(upright(plane.view(), axis), range, pixels([height, width], scale)?)?;
    let labelled = draw_labels(&picture, upright(labels.view(), axis), options.overlay)?;
    Ok(row(&[DynamicImage::from(picture).into_rgb8(), labelled]))
}

/// The plane along x with y down, as that beside the plane along z must have it.
fn upright<T>(plane: ArrayView2<'_, T>, axis: usize) -> ArrayView2<'_, T> {
    if axis == 2 { plane.reversed_axes() } else { plane }
}

/// The edges of the volume in units of its smallest voxel edge.
fn physical_lengths((z, y, x): (usize, usize, usize), spacing: Option<Spacing>) -> [f64; 3] {
    let [size_z, size_y, size_x] = spacing.map_or([1.0; 3], Spacing::zyx);
    let smallest = size_z.min(size_y).min(size_x);
    [z as f64 * size_z, y as f64 * size_y, x as f64 * size_x].map(|length| length / smallest)
}

/// Heights and widths in pixels of the views along z, y and x, all at one scale.
fn view_sizes([z, y, x]: [f64; 3], size: u32) -> Result<[[u32; 2]; 3]> {
    let scale = f64::from(size.saturating_sub(GAP)) / (x + z).max(y + z);
    Ok([pixels([y, x], scale)?, pixels([z, x], scale)?, pixels([y, z], scale)?])
}

/// Lengths in pixels, one at least.
fn pixels(lengths: [f64; 2], scale: f64) -> Result<[u32; 2]> {
    if !(scale.is_finite() && scale > 0.0) {
        return Err(Error::Argument(
            "a preview needs a volume with voxels and a size of at least 7 pixels".into(),
        ));
    }
    Ok(lengths.map(|length| ((length * scale).round() as u32).max(1)))
}

/// The views along z, y and x as the module shows them.
fn three_sides(views: &[RgbImage]) -> RgbImage {
    let [along_z, along_y, along_x] = views else { return RgbImage::new(0, 0) };
    let (width, height) = along_z.dimensions();
    let mut sheet =
        RgbImage::from_pixel(width + GAP + along_x.width(), height + GAP + along_y.height(), PAPER);
    imageops::replace(&mut sheet, along_z, 0, 0);
    imageops::replace(&mut sheet, along_x, i64::from(width + GAP), 0);
    imageops::replace(&mut sheet, along_y, 0, i64::from(height + GAP));
    sheet
}

/// Pictures of one height in a row.
fn row(pictures: &[RgbImage]) -> RgbImage {
    let height = pictures.iter().map(RgbImage::height).max().unwrap_or(0);
    let gaps = GAP * 2 * pictures.len().saturating_sub(1) as u32;
    let width = pictures.iter().map(RgbImage::width).sum::<u32>() + gaps;
    let mut sheet = RgbImage::from_pixel(width, height, PAPER);
    let mut left = 0;
    for picture in pictures {
        imageops::replace(&mut sheet, picture, left, 0);
        left += i64::from(picture.width() + 2 * GAP);
    }
    sheet
}

#[cfg(test)]
mod tests {
    use ndarray::Array3;

    use super::*;
    use crate::preview::label_colour;

    /// A dark volume of 4 x 6 x 8 voxels with one bright voxel at (3, 1, 6), which is object 5; voxels are
    /// twice as long in z.
    fn scene() -> (Array3<f32>, Array3<u32>, Option<Spacing>) {
        let (mut volume, mut labels) = (Array3::zeros((4, 6, 8)), Array3::zeros((4, 6, 8)));
        volume[[3, 1, 6]] = 1.0;
        labels[[3, 1, 6]] = 5;
        (volume, labels, Spacing::new([2.0, 1.0, 1.0]).ok())
    }

    #[test]
    fn each_side_shows_the_bright_voxel_where_it_is() {
        let (volume, labels, spacing) = scene();
        // 16 units along x and z together, and ten pixels to each.
        let options = PreviewOptions { size: 160 + GAP, percentiles: [0.0, 100.0], overlay: Overlay::Filled };
        let picture = preview(volume.view(), Some(labels.view()), spacing, &options).unwrap();
        let one = 80 + GAP + 80;
        assert_eq!(picture.dimensions(), (2 * one + 2 * GAP, 60 + GAP + 80));
        // Middles of the voxel: x = 6.5 * 10, y = 1.5 * 10, z = 3.5 * 20.
        let places = [(65, 15), (65, 60 + GAP + 70), (80 + GAP + 70, 15)];
        for (x, y) in places {
            assert!(picture.get_pixel(x, y).0 > [200; 3], "{:?} at {x}, {y}", picture.get_pixel(x, y));
            let overlaid = picture.get_pixel(one + 2 * GAP + x, y);
            let halfway = label_colour(5).0.map(|level| level / 2 + 127);
            assert!(
                overlaid.0.iter().zip(halfway).all(|(found, level)| found.abs_diff(level) < 30),
                "{overlaid:?}"
            );
        }
        let bright = picture.enumerate_pixels().filter(|(x, _, p)| *x < one && p.0 > [128; 3]);
        let near =
            |(x, y): (u32, u32)| places.iter().any(|&(px, py)| px.abs_diff(x) <= 10 && py.abs_diff(y) <= 20);
        assert!(bright.map(|(x, y, _)| (x, y)).all(near));
    }

    #[test]
    fn one_view_is_as_wide_as_asked() {
        let (volume, labels, spacing) = scene();
        let options = PreviewOptions { size: 64, percentiles: [0.0, 100.0], overlay: Overlay::Filled };
        let view = View::Slice { axis: 1, index: 1 };
        let picture = side_by_side(volume.view(), labels.view(), spacing, view, &options).unwrap();
        assert_eq!(picture.dimensions(), (2 * 64 + 2 * GAP, 64));
        assert!(picture.get_pixel(52, 56).0 > [200; 3]);
        let view = View::Slice { axis: 2, index: 6 };
        let picture = side_by_side(volume.view(), labels.view(), spacing, view, &options).unwrap();
        assert_eq!(picture.dimensions(), (2 * 64 + 2 * GAP, 48));
        assert!(picture.get_pixel(56, 12).0 > [200; 3]);
    }

    #[test]
    fn volumes_of_any_values_have_a_preview_and_empty_ones_none() {
        let options = PreviewOptions::default();
        for value in [0.0, f32::NAN, f32::INFINITY] {
            let volume = Array3::from_elem((1, 2, 3), value);
            assert!(preview(volume.view(), None, None, &options).is_ok());
        }
        let empty = Array3::zeros((0, 2, 3));
        assert!(matches!(preview(empty.view(), None, None, &options), Err(Error::Argument(_))));
        let volume = Array3::zeros((1, 2, 3));
        let tiny = PreviewOptions { size: 3, ..options };
        assert!(matches!(preview(volume.view(), None, None, &tiny), Err(Error::Argument(_))));
        let other = Array3::zeros((1, 2, 4));
        assert!(matches!(
            preview(volume.view(), Some(other.view()), None, &options),
            Err(Error::Argument(_))
        ));
    }

    #[test]
    fn a_picture_is_written_as_png() {
        let (volume, labels, spacing) = scene();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("p.png");
        let picture =
            preview(volume.view(), Some(labels.view()), spacing, &PreviewOptions::default()).unwrap();
        crate::preview::write_png(&path, picture.clone(), crate::Overwrite::Refuse).unwrap();
        assert_eq!(image::open(&path).unwrap().into_rgb8(), picture);
    }
}
