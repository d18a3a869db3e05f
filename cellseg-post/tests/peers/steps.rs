//! Runs every step that a peer also has on the arrays of a folder, for `compare.py` beside this file:
//! `steps FOLDER SPACING_Z SPACING_Y SPACING_X` reads `image`, `mask`, `seeds`, `ids` and `others` and writes one array a step.

use std::error::Error;
use std::path::PathBuf;

use cellseg_post::{
    Connectivity, Criterion, Element, Flood, MaximaRule, OtsuRule, Overlaps, SeedTies, Spacing,
    black_top_hat, components, components_of_ids, contacts, distance_transform, distance_transform_of_ids,
    fill_holes, gaussian, grey_dilate, laplacian_of_gaussian, li, local_maxima, median, otsu, percentiles,
    persistent_peaks, reconstruct_by_dilation, regions, relabel_sequential, surface_areas, triangle,
    watershed_with, white_top_hat,
};
use ndarray::{Array1, Array2, Array3, ArrayRef, Dimension};
use ndarray_npy::{ReadableElement, WritableElement, read_npy, write_npy};

type Outcome = Result<(), Box<dyn Error>>;

const CONNECTIVITIES: [(Connectivity, &str); 3] =
    [(Connectivity::Six, "6"), (Connectivity::Eighteen, "18"), (Connectivity::TwentySix, "26")];

fn main() -> Outcome {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [folder, z, y, x] = arguments.as_slice() else {
        return Err("usage: steps FOLDER SPACING_Z SPACING_Y SPACING_X".into());
    };
    let steps = Steps { folder: folder.into(), spacing: Spacing::new(z.parse()?, y.parse()?, x.parse()?)? };
    steps.filters()?;
    steps.masks()?;
    steps.floods()?;
    steps.measurements()
}

struct Steps {
    folder: PathBuf,
    spacing: Spacing,
}

impl Steps {
    fn read<T: ReadableElement>(&self, name: &str) -> Result<Array3<T>, Box<dyn Error>> {
        Ok(read_npy(self.folder.join(format!("{name}.npy")))?)
    }

    fn write<T: WritableElement, D: Dimension>(&self, name: &str, array: &ArrayRef<T, D>) -> Outcome {
        Ok(write_npy(self.folder.join(format!("our_{name}.npy")), array)?)
    }

    fn filters(&self) -> Outcome {
        let image = self.read::<f32>("image")?;
        let thresholds = [otsu(image.view(), OtsuRule::Skimage)?, li(image.view())?, triangle(image.view())?]
            .map(f64::from);
        let quantiles = percentiles(image.view(), &[0.0, 1.0, 50.0, 99.0, 100.0])?;
        self.write("thresholds", &Array1::from_iter(thresholds.into_iter().chain(quantiles)))?;
        self.write("gaussian", &gaussian(image.view(), [1.0; 3])?)?;
        self.write("gaussian_unequal", &gaussian(image.view(), [0.5, 2.0, 1.3])?)?;
        self.write("laplacian", &laplacian_of_gaussian(image.view(), [1.5; 3])?)?;
        self.write("median", &median(image.view(), [1, 1, 1])?)?;
        self.write("local_maxima", &local_maxima(image.view(), MaximaRule::Plateau)?)?;
        let ball = Element::Ball { radius: 2.0, spacing: Spacing::VOXELS };
        self.write("dilated", &grey_dilate(image.view(), ball)?)?;
        self.write("white_hat", &white_top_hat(image.view(), ball)?)?;
        self.write("black_hat", &black_top_hat(image.view(), ball)?)?;
        let lower = image.mapv(|value| value - 3.0);
        self.write(
            "reconstructed",
            &reconstruct_by_dilation(lower.view(), image.view(), Connectivity::TwentySix)?,
        )?;
        let everywhere = image.mapv(|_| true);
        let peaks = persistent_peaks(image.view(), everywhere.view(), 3.0, Connectivity::TwentySix)?;
        let places =
            Array2::from_shape_fn((peaks.len(), 3), |(peak, axis)| peaks[peak].position[axis] as u64);
        self.write("peaks", &places)
    }

    fn masks(&self) -> Outcome {
        let (mask, ids) = (self.read::<bool>("mask")?, self.read::<u32>("ids")?);
        for (connectivity, name) in CONNECTIVITIES {
            self.write(&format!("components_{name}"), &components(mask.view(), connectivity)?.ids())?;
            self.write(
                &format!("components_of_ids_{name}"),
                &components_of_ids(ids.view(), connectivity)?.ids(),
            )?;
        }
        self.write("holes", &fill_holes(mask.view())?)?;
        self.write("distance", &distance_transform(mask.view(), Spacing::VOXELS))?;
        self.write("distance_spaced", &distance_transform(mask.view(), self.spacing))?;
        self.write("distance_of_ids", &distance_transform_of_ids(ids.view(), self.spacing))?;
        self.write("relabelled", &relabel_sequential(ids.view()).ids)
    }

    fn floods(&self) -> Outcome {
        let (image, mask, seeds) =
            (self.read::<f32>("image")?, self.read::<bool>("mask")?, self.read::<u32>("seeds")?);
        let landscape = image.mapv(|value| -value);
        for (connectivity, name) in CONNECTIVITIES {
            let flood = Flood { connectivity, ties: SeedTies::Skimage, ..Flood::default() };
            let ids = watershed_with(landscape.view(), seeds.view(), mask.view(), &flood)?;
            self.write(&format!("watershed_{name}"), &ids)?;
        }
        Ok(())
    }

    fn measurements(&self) -> Outcome {
        let (image, ids, others) =
            (self.read::<f32>("image")?, self.read::<u32>("ids")?, self.read::<u32>("others")?);
        let found = regions(ids.view(), Some(image.view()), self.spacing)?;
        let rows = Array2::from_shape_fn((found.len(), 16), |(row, column)| {
            let region = &found[row];
            let range = |axis: usize| &region.bounding_box[axis];
            match column {
                0 => f64::from(region.id),
                1 => region.voxels as f64,
                2..5 => region.centroid[column - 2],
                5..8 => range(column - 5).start as f64,
                8..11 => range(column - 8).end as f64,
                11..14 => region.axis_lengths[column - 11],
                _ => region
                    .intensity
                    .as_ref()
                    .map_or(f64::NAN, |values| [values.mean, values.std][column - 14]),
            }
        });
        self.write("regions", &rows)?;
        let touching = contacts(ids.view(), self.spacing);
        let rows = Array2::from_shape_fn((touching.len(), 3), |(row, column)| {
            [f64::from(touching[row].ids[0]), f64::from(touching[row].ids[1]), touching[row].area][column]
        });
        self.write("contacts", &rows)?;
        let areas = surface_areas(ids.view(), Spacing::VOXELS);
        self.write("surfaces", &Array1::from_iter(areas.into_iter().map(|(_, area)| area)))?;
        let thresholds: Vec<f64> = (1..10).map(|tenth| f64::from(tenth) / 10.0).collect();
        let scores = Overlaps::count(ids.view(), others.view())?.matching(&thresholds, Criterion::Iou)?;
        let rows = Array2::from_shape_fn((scores.len(), 5), |(row, column)| {
            let score = &scores[row];
            [score.tp as f64, score.fp as f64, score.fn_ as f64, score.f1, score.panoptic_quality][column]
        });
        self.write("matching", &rows)
    }
}
