//! From a probability map to instances in one call.

mod artifacts;
mod clesperanto;
mod merge;
mod mutex;
mod outlines;
mod peaks;
mod size;
mod split;
mod voronoi_otsu;

use ndarray::{Array3, ArrayView3};
use serde::{Deserialize, Serialize};

pub use artifacts::{Measure, Oddity, Removed, remove_artifacts};
pub use clesperanto::voronoi_otsu_as_clesperanto;
pub use merge::merge_weak_borders;
pub use mutex::{Bond, Offset, mutex_watershed};
pub use size::typical_diameter;
pub use split::split_touching;
pub use voronoi_otsu::{VoronoiOtsu, voronoi_otsu};

use crate::grid::{Grid, all_finite, raster};
use crate::{
    Connectivity, Error, Labels, MaximaRule, Spacing, Threshold, components, gaussian, mask_above,
    threshold_seeds, watershed,
};
use peaks::Peaks;

/// The default `outline_sigma` as a share of the objects' diameter, and the least it is in voxels of the finest side.
///
/// Of 0.08 to 0.15, 0.1 had about the best mean F1 at IoU 0.5 over seven real and seven synthetic volumes of nuclei, and
/// more costs small nuclei.
const OUTLINE_SIGMA: f64 = 0.1;
const LEAST_OUTLINE_SIGMA: f64 = 0.5;

/// The default `spot_sigma` as a share of the objects' diameter; of 0.1 to 0.35 the best over the same volumes, by either
/// method that has one.
const SPOT_SIGMA: f64 = 0.2;

/// The default smallest volume as a share of the ball of the objects' diameter; what is smaller is dust.
const SMALLEST: f64 = 0.1;

/// How foreground is divided into objects.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Method {
    /// As the map is: one with two clear classes, such as a network's, is divided as [`Method::VoronoiOtsu`] does.
    ///
    /// One without, such as a raw image, is divided along the valleys between the peaks that stand out, and each object
    /// ends at a share of its own brightness over the background around it, so that dim and bright ones both get their
    /// outlines, and those in tissue are not drawn as wide as its glow. What is too thin for a nucleus, such as walls and
    /// fibres, is taken off. All lengths are shares of the typical size of the objects that a first division finds. A fixed
    /// threshold is taken as it is.
    ///
    /// It assumes that objects are bright, compact, and of sizes within a factor of about two of each other, and that their
    /// middles are not much darker than their rims: large nuclei whose nucleoli leave dark holes may be split. Much smaller
    /// objects than the typical one are merged with their neighbours or taken for dust; then set `diameter`.
    #[default]
    Peaks,
    /// Local maxima of the blurred map, and to each foreground voxel the nearest of them ([`voronoi_otsu`]).
    VoronoiOtsu,
    /// A watershed from the seeds given.
    Watershed(WatershedSeeds),
    /// Connected components: touching objects stay one.
    Components,
}

/// Where a watershed starts.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WatershedSeeds {
    /// At the cores of the foreground's shape and brightness ([`split_touching`]).
    #[default]
    Shape,
    /// At the 26-connected components above a second, higher threshold, as CellSeg3D does.
    Cores {
        /// The map's value above which voxels are seeds; CellSeg3D's default is 0.9.
        threshold: f32,
        /// The voxels that a seed must have at least; CellSeg3D's default is 3.
        min_voxels: u64,
    },
}

/// How [`instances`] finds objects; the defaults suit probability maps of nuclei.
///
/// Lengths are micrometres at the spacing given with the map, so with [`Spacing::VOXELS`] they are voxels.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct InstanceOptions {
    /// How foreground is divided into objects.
    pub method: Method,
    /// Above which value of the blurred map a voxel is foreground.
    pub threshold: Threshold,
    /// The Gaussian's sigma in micrometres before the threshold; by default a tenth of the diameter.
    pub outline_sigma: Option<f64>,
    /// The objects' typical diameter in micrometres; by default estimated from the foreground ([`typical_diameter`]), and by
    /// [`Method::Peaks`] from the objects of a first division of a raw image.
    pub diameter: Option<f64>,
    /// For [`Method::Peaks`] and [`Method::VoronoiOtsu`]: the Gaussian's sigma in micrometres before maxima are sought; by
    /// default a fifth of the diameter, and 0.15 of it for the peaks of a raw image.
    pub spot_sigma: Option<f64>,
    /// For [`Method::VoronoiOtsu`], and [`Method::Peaks`] on a map of two clear classes: what counts as a maximum.
    pub maxima: MaximaRule,
    /// For [`Method::Components`]: which voxels are connected.
    pub connectivity: Connectivity,
    /// The smallest volume of an object in cubic micrometres; by default a tenth of the ball of the diameter.
    pub min_volume: Option<f64>,
    /// The largest volume of an object in cubic micrometres; by default there is none.
    pub max_volume: Option<f64>,
}

/// Finds the objects of a probability map (z, y, x), bright where the objects are.
///
/// The map is blurred and thresholded, the foreground divided by the chosen method, and objects outside the volume
/// limits are removed. No foreground gives no objects. The map may be any finite values; nothing depends on their
/// scale unless the threshold is fixed.
///
/// # Errors
/// [`Error::Empty`], [`Error::NonFinite`], [`Error::Constant`] if Otsu's threshold is asked of a constant map,
/// [`Error::Argument`] for settings out of range, [`Error::TooLarge`] for 2^32 - 1 voxels and more.
pub fn instances(
    probability: ArrayView3<f32>,
    spacing: Spacing,
    options: &InstanceOptions,
) -> Result<Labels, Error> {
    let grid = Grid::of(&probability).not_empty()?.fits_u32()?;
    all_finite(grid, &raster(&probability))?;
    options.check()?;
    let foreground = options.foreground(probability, spacing)?;
    let Some(mut diameter) = foreground.diameter else { return Ok(Labels::none(grid.shape())) };
    let Foreground { map, mask, .. } = &foreground;
    let labels = match options.method {
        Method::Peaks if options.outlines_differ(&foreground) => {
            let peaks = Peaks::new(probability, &foreground, spacing, options)?;
            if options.diameter.is_none() {
                diameter = peaks.typical_diameter(diameter)?;
            }
            peaks.objects(diameter)?
        }
        Method::Peaks | Method::VoronoiOtsu => {
            let sigma = options.spot_sigma.unwrap_or(SPOT_SIGMA * diameter);
            voronoi_otsu::divide(probability, mask.view(), spacing, sigma, options.maxima)?
        }
        Method::Watershed(WatershedSeeds::Shape) => {
            split_touching(map.view(), mask.view(), spacing, diameter)?
        }
        Method::Watershed(WatershedSeeds::Cores { threshold, min_voxels }) => {
            flood_from_cores(map, mask, threshold, min_voxels)?
        }
        Method::Components => components(mask.view(), options.connectivity)?,
    };
    let ball = std::f64::consts::PI / 6.0 * diameter.powi(3);
    let smallest = options.min_volume.unwrap_or(SMALLEST * ball);
    let largest = options.max_volume.unwrap_or(f64::INFINITY);
    Ok(labels.filter_volume(smallest..=largest, spacing))
}

/// The blurred map, its threshold and the mask above it, and the objects' diameter if there are any.
struct Foreground {
    map: Array3<f32>,
    threshold: f32,
    mask: Array3<bool>,
    diameter: Option<f64>,
}

impl InstanceOptions {
    fn foreground(&self, probability: ArrayView3<f32>, spacing: Spacing) -> Result<Foreground, Error> {
        let least = LEAST_OUTLINE_SIGMA * spacing.finest();
        let sigma_for = |diameter: f64| (OUTLINE_SIGMA * diameter).max(least);
        let sigma = match (self.outline_sigma, self.diameter) {
            (Some(sigma), _) => sigma,
            (None, Some(diameter)) => sigma_for(diameter),
            (None, None) => {
                // A first mask at the scale of voxels tells the scale of objects.
                let first = self.foreground_at(spacing.finest(), probability, spacing)?;
                let Some(diameter) = first.diameter else { return Ok(first) };
                sigma_for(diameter)
            }
        };
        self.foreground_at(sigma, probability, spacing)
    }

    fn foreground_at(
        &self,
        sigma: f64,
        probability: ArrayView3<f32>,
        spacing: Spacing,
    ) -> Result<Foreground, Error> {
        let map = gaussian(probability, spacing.to_voxels(sigma))?;
        let threshold = self.threshold.value(map.view())?;
        let mask = mask_above(map.view(), threshold);
        let diameter = self.diameter.or_else(|| typical_diameter(mask.view(), spacing));
        Ok(Foreground { map, threshold, mask, diameter })
    }

    /// Whether each object gets an outline of its own: one threshold does not suit all where the map has no two clear
    /// classes, and none was given.
    fn outlines_differ(&self, foreground: &Foreground) -> bool {
        !matches!(self.threshold, Threshold::Fixed(_)) && peaks::separability(foreground) < peaks::CLEAR
    }

    fn check(&self) -> Result<(), Error> {
        let at_least_zero = [
            ("outline_sigma", self.outline_sigma),
            ("spot_sigma", self.spot_sigma),
            ("min_volume", self.min_volume),
            ("max_volume", self.max_volume),
        ];
        for (name, value) in at_least_zero {
            if let Some(value) = value.filter(|value| !(value.is_finite() && *value >= 0.0)) {
                let expected = "a finite number of at least 0";
                return Err(Error::Argument { name, given: value.to_string(), expected });
            }
        }
        match self.diameter {
            Some(value) if !(value.is_finite() && value > 0.0) => Err(Error::Argument {
                name: "diameter",
                given: value.to_string(),
                expected: "a finite number above 0",
            }),
            _ => Ok(()),
        }
    }
}

fn flood_from_cores(
    map: &Array3<f32>,
    mask: &Array3<bool>,
    threshold: f32,
    min_voxels: u64,
) -> Result<Labels, Error> {
    let seeds = threshold_seeds(map.view(), threshold, min_voxels)?;
    let depth = map.mapv(|value| -value);
    let ids = watershed(depth.view(), seeds.ids(), mask.view(), Connectivity::Six)?;
    Ok(Labels::from_ids(ids.view()))
}
