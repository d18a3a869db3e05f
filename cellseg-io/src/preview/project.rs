//! From a volume to a plane: slices and projections, and the range of intensities to show.

use std::collections::HashMap;

use ndarray::{Array2, ArrayView3, Axis};

use crate::{Error, Result};

/// How a volume becomes a plane.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum View {
    /// The brightest voxel along an axis: 0 for z, 1 for y, 2 for x.
    Max {
        /// The axis to look along.
        axis: usize,
    },
    /// One plane across an axis.
    Slice {
        /// The axis that the plane is across: 0 for z, 1 for y, 2 for x.
        axis: usize,
        /// The plane's number.
        index: usize,
    },
}

impl View {
    /// The axis to look along.
    pub(super) fn axis(self) -> usize {
        match self {
            Self::Max { axis } | Self::Slice { axis, .. } => axis,
        }
    }

    fn check(self, shape: &[usize]) -> Result<()> {
        let axis = self.axis();
        let Some(&length) = shape.get(axis) else {
            return Err(Error::Argument(format!("there is no axis {axis}; 0 is z, 1 is y, 2 is x")));
        };
        match self {
            Self::Slice { index, .. } if index >= length => {
                Err(Error::Argument(format!("there is no plane {index} across axis {axis}; it has {length}")))
            }
            Self::Max { .. } if length == 0 => {
                Err(Error::Argument("a volume without voxels has no projection".into()))
            }
            _ => Ok(()),
        }
    }
}

/// The plane of `volume` `(z, y, x)` in a view; the two axes left keep their order. NaN counts as darkest.
///
/// # Errors
/// [`Error::Argument`] if the axis or plane is not there.
pub fn project(volume: ArrayView3<'_, f32>, view: View) -> Result<Array2<f32>> {
    view.check(volume.shape())?;
    Ok(match view {
        View::Slice { axis, index } => volume.index_axis(Axis(axis), index).to_owned(),
        // `f32::max` prefers any number to NaN.
        View::Max { axis } => fold(volume, axis, f32::NEG_INFINITY, |&high, &value| high.max(value)),
    })
}

/// The labels that belong to the plane of a volume in a view.
///
/// In a projection, the object with the brightest voxel hides the others on a line of sight, so that outlines
/// follow whole objects.
///
/// # Errors
/// [`Error::Argument`] if the axis or plane is not there, or the shapes differ.
pub fn project_labels(
    labels: ArrayView3<'_, u32>,
    volume: ArrayView3<'_, f32>,
    view: View,
) -> Result<Array2<u32>> {
    view.check(labels.shape())?;
    if labels.dim() != volume.dim() {
        return Err(Error::Argument(format!(
            "labels of shape {:?} do not belong to a volume of shape {:?} (z, y, x)",
            labels.dim(),
            volume.dim()
        )));
    }
    let axis = match view {
        View::Slice { axis, index } => return Ok(labels.index_axis(Axis(axis), index).to_owned()),
        View::Max { axis } => axis,
    };
    let ranks = ranks(labels, volume);
    // Labels come in runs: each run is looked up once.
    let mut run = (0, f32::NEG_INFINITY);
    let front = fold(labels, axis, (0, f32::NEG_INFINITY), |&front, &label| {
        if label == 0 {
            return front;
        }
        if label != run.0 {
            run = (label, ranks[&label]);
        }
        if front.0 == 0 || run.1 > front.1 { run } else { front }
    });
    Ok(front.mapv(|(label, _)| label))
}

/// The brightest value of each object.
fn ranks(labels: ArrayView3<'_, u32>, volume: ArrayView3<'_, f32>) -> HashMap<u32, f32> {
    let mut ranks = HashMap::new();
    let mut note = |(label, brightest): (u32, f32)| {
        let rank = ranks.entry(label).or_insert(f32::NEG_INFINITY);
        *rank = brightest.max(*rank);
    };
    let mut run = (0, f32::NEG_INFINITY);
    for (&label, &value) in labels.iter().zip(volume) {
        if label != run.0 {
            note(run);
            run = (label, f32::NEG_INFINITY);
        }
        run.1 = value.max(run.1);
    }
    note(run);
    ranks
}

/// Folds along an axis, in the order of the memory.
fn fold<T, S: Copy>(
    array: ArrayView3<'_, T>,
    axis: usize,
    start: S,
    mut step: impl FnMut(&S, &T) -> S,
) -> Array2<S> {
    if axis == 2 {
        array.map_axis(Axis(axis), |line| line.iter().fold(start, |state, value| step(&state, value)))
    } else {
        array.fold_axis(Axis(axis), start, step)
    }
}

/// The intensities that are shown as black and white.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Range {
    /// This and less is black.
    pub black: f32,
    /// This and more is white.
    pub white: f32,
}

impl Range {
    /// The range between two percentiles (0 to 100) of the finite values; 0 to 1 where there are none.
    pub fn percentiles<'a>(values: impl IntoIterator<Item = &'a f32>, low: f64, high: f64) -> Self {
        let mut finite: Vec<f32> = values.into_iter().copied().filter(|value| value.is_finite()).collect();
        let Some(last) = finite.len().checked_sub(1) else { return Self { black: 0.0, white: 1.0 } };
        let mut at = |percent: f64| {
            let rank = (percent.clamp(0.0, 100.0) / 100.0 * last as f64).round() as usize;
            *finite.select_nth_unstable_by(rank.min(last), f32::total_cmp).1
        };
        Self { black: at(low), white: at(high) }
    }

    /// The gray level of a value, from 0 to 255; NaN is black, and so is everything where the range is empty.
    pub fn level(self, value: f32) -> u8 {
        let (black, white) = (f64::from(self.black), f64::from(self.white));
        // The cast saturates and sends NaN to 0.
        ((f64::from(value) - black) / (white - black) * 255.0).round() as u8
    }
}

#[cfg(test)]
mod tests {
    use ndarray::{Array3, array};

    use super::*;

    #[test]
    fn projections_take_the_brightest_voxel_and_object() {
        let volume = array![[[6.0, f32::NAN], [3.0, 4.0]], [[7.0, 2.0], [0.0, 1.0]]];
        let labels = array![[[1, 0], [3, 0]], [[3, 2], [4, 5]]];
        let along_z = View::Max { axis: 0 };
        assert_eq!(project(volume.view(), along_z).unwrap(), array![[7.0, 2.0], [3.0, 4.0]]);
        assert_eq!(project_labels(labels.view(), volume.view(), along_z).unwrap(), array![[3, 2], [3, 5]]);
        let slice = View::Slice { axis: 2, index: 1 };
        assert_eq!(project_labels(labels.view(), volume.view(), slice).unwrap(), array![[0, 0], [2, 5]]);
    }

    #[test]
    fn a_labelled_voxel_is_seen_even_if_its_value_is_not_a_number() {
        let volume = Array3::from_elem((1, 1, 1), f32::NAN);
        let labels = Array3::from_elem((1, 1, 1), 7);
        assert_eq!(project_labels(labels.view(), volume.view(), View::Max { axis: 0 }).unwrap(), array![[7]]);
    }

    #[test]
    fn views_that_are_not_there_are_refused() {
        let volume = Array3::zeros((2, 3, 4));
        for view in [View::Max { axis: 3 }, View::Slice { axis: 1, index: 3 }] {
            assert!(matches!(project(volume.view(), view), Err(Error::Argument(_))));
        }
        let empty = Array3::zeros((0, 3, 4));
        assert!(matches!(project(empty.view(), View::Max { axis: 0 }), Err(Error::Argument(_))));
        let labels = Array3::zeros((2, 3, 5));
        assert!(project_labels(labels.view(), volume.view(), View::Max { axis: 0 }).is_err());
    }

    #[test]
    fn percentiles_are_those_of_the_sorted_finite_values() {
        let values: Vec<f32> = (0..=1000).rev().map(|v| v as f32).chain([f32::NAN, f32::INFINITY]).collect();
        assert_eq!(Range::percentiles(&values, 1.0, 99.0), Range { black: 10.0, white: 990.0 });
        assert_eq!(Range::percentiles(&[f32::NAN], 1.0, 99.0), Range { black: 0.0, white: 1.0 });
    }

    #[test]
    fn levels_are_bounded_and_defined_for_constant_volumes() {
        let range = Range { black: 10.0, white: 20.0 };
        assert_eq!([5.0, 10.0, 15.0, 20.0, 1e9, f32::NAN].map(|v| range.level(v)), [0, 0, 128, 255, 255, 0]);
        assert_eq!(Range { black: 3.0, white: 3.0 }.level(3.0), 0);
    }
}
