//! Removing what is not a cell: debris, bright specks, clumps.

use std::fmt;

use ndarray::ArrayView3;

use crate::{Error, Labels, Region, Spacing, regions, surface_areas, surface_sphericity};

/// What an object is judged by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Measure {
    /// Its volume in cubic micrometres, by ratios: twice as large is as odd as half as large.
    Volume,
    /// The mean of the image inside it.
    Intensity,
    /// How much of its surface a ball of its volume would need, 1 for a ball; only too little is odd.
    Sphericity,
}

/// Why an object was removed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Oddity {
    /// What is odd about it.
    pub of: Measure,
    /// Its value.
    pub value: f64,
    /// The median of all objects.
    pub typical: f64,
    /// How many robust standard deviations it is away from the median; negative below it.
    pub deviations: f64,
}

impl fmt::Display for Oddity {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let (name, unit) = match self.of {
            Measure::Volume => ("volume", " um3"),
            Measure::Intensity => ("mean intensity", ""),
            Measure::Sphericity => ("sphericity", ""),
        };
        let Self { value, typical, deviations, .. } = self;
        write!(f, "{name} {value:.4}{unit}, {deviations:+.1} deviations from the typical {typical:.4}{unit}")
    }
}

/// An object that was removed.
#[derive(Debug, Clone, PartialEq)]
pub struct Removed {
    /// Its id in the labels given.
    pub id: u32,
    /// All that is odd about it, in the order of [`Measure`].
    pub oddities: Vec<Oddity>,
}

/// Fewer objects tell nothing about what is typical.
const LEAST_OBJECTS: usize = 10;

/// The shape of objects of fewer voxels says more about voxels than about the objects.
const LEAST_VOXELS: u64 = 50;

/// The least standard deviation that is believed: of the logarithm of volumes, of intensities as a share of their median,
/// and of sphericities. Objects that are all alike would otherwise make the slightest difference odd.
const LEAST_SPREAD: [f64; 3] = [0.05, 0.02, 0.02];

/// Removes the objects that are unlike all others in volume, mean intensity or sphericity; says which and why.
///
/// An object is odd if it is further than `tolerance` robust standard deviations (1.4826 times the median absolute
/// deviation) from the median of all objects. 5 removes what no population of nuclei contains by chance; 3 about what an
/// eye would. With fewer than ten objects nothing is removed. The rest is renumbered.
///
/// # Errors
/// [`Error::ShapeMismatch`] or [`Error::NonFinite`] for the image; [`Error::Argument`] if the tolerance is not above 0.
pub fn remove_artifacts(
    labels: Labels,
    image: Option<ArrayView3<f32>>,
    spacing: Spacing,
    tolerance: f64,
) -> Result<(Labels, Vec<Removed>), Error> {
    if tolerance.is_nan() || tolerance <= 0.0 {
        return Err(Error::Argument {
            name: "the tolerance in robust standard deviations",
            given: tolerance.to_string(),
            expected: "a number above 0, such as 5",
        });
    }
    let objects = regions(labels.ids(), image, spacing)?;
    if objects.len() < LEAST_OBJECTS {
        return Ok((labels, Vec::new()));
    }
    let areas = surface_areas(labels.ids(), spacing);
    let mut oddities: Vec<Vec<Oddity>> = vec![Vec::new(); objects.len()];
    for of in [Measure::Volume, Measure::Intensity, Measure::Sphericity] {
        let values: Vec<Option<f64>> =
            objects.iter().zip(&areas).map(|(object, (_, area))| value_of(of, object, *area)).collect();
        for (oddities, odd) in oddities.iter_mut().zip(odd(of, &values, tolerance)) {
            oddities.extend(odd);
        }
    }
    let removed: Vec<Removed> = objects
        .iter()
        .zip(oddities)
        .filter(|(_, oddities)| !oddities.is_empty())
        .map(|(object, oddities)| Removed { id: object.id, oddities })
        .collect();
    let mut kept = vec![true; labels.count() as usize + 1];
    removed.iter().for_each(|object| kept[object.id as usize] = false);
    Ok((labels.retain(|id, _| kept[id as usize]), removed))
}

fn value_of(of: Measure, object: &Region, area: f64) -> Option<f64> {
    match of {
        Measure::Volume => Some(object.volume),
        Measure::Intensity => object.intensity.map(|intensity| intensity.mean),
        Measure::Sphericity => {
            (object.voxels >= LEAST_VOXELS).then(|| surface_sphericity(object.volume, area))
        }
    }
}

/// What is odd about each object.
fn odd(of: Measure, values: &[Option<f64>], tolerance: f64) -> Vec<Option<Oddity>> {
    let scaled = |value: f64| if of == Measure::Volume { value.ln() } else { value };
    let known: Vec<f64> = values.iter().flatten().map(|&value| scaled(value)).collect();
    if known.len() < LEAST_OBJECTS {
        return vec![None; values.len()];
    }
    let middle = median(known.clone());
    let [of_volume, of_intensity, of_sphericity] = LEAST_SPREAD;
    let least = match of {
        Measure::Volume => of_volume,
        Measure::Intensity => of_intensity * middle.abs(),
        Measure::Sphericity => of_sphericity,
    };
    let spread = 1.4826 * median(known.iter().map(|value| (value - middle).abs()).collect());
    let spread = spread.max(least).max(f64::MIN_POSITIVE);
    let typical = if of == Measure::Volume { middle.exp() } else { middle };
    let judge = |value: f64| {
        let deviations = (scaled(value) - middle) / spread;
        let far = if of == Measure::Sphericity { -deviations } else { deviations.abs() };
        (far > tolerance).then_some(Oddity { of, value, typical, deviations })
    };
    values.iter().map(|value| value.and_then(judge)).collect()
}

/// The median of at least one value.
fn median(mut values: Vec<f64>) -> f64 {
    let middle = values.len() / 2;
    let (below, &mut above, _) = values.select_nth_unstable_by(middle, f64::total_cmp);
    let below = below.iter().copied().max_by(f64::total_cmp).filter(|_| values.len().is_multiple_of(2));
    below.map_or(above, |below| (below + above) / 2.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_of_an_even_number_lies_between_the_middle_two() {
        assert_eq!(median(vec![3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(vec![4.0, 1.0, 2.0, 10.0]), 3.0);
        assert_eq!(median(vec![7.0]), 7.0);
    }
}
