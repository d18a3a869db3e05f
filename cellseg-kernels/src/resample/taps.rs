//! From which places of an axis each place of the resized axis takes its number.

use super::Interpolation;

/// For each place of an axis, the places of another axis that it is a weighted sum of.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Taps {
    /// Where each place's taps start in `taps`, and where the last one's end.
    starts: Vec<usize>,
    /// Places and weights.
    taps: Vec<(usize, f64)>,
}

impl Taps {
    /// The taps of an axis of `to` places from one of `from` places, by the formulas of PyTorch's `interpolate`; nearest
    /// places are found in whole numbers, where PyTorch's `float` can miss them by one.
    pub(super) fn new(from: usize, to: usize, interpolation: Interpolation) -> Self {
        let last = from.saturating_sub(1);
        let place = |i: usize| -> Vec<(usize, f64)> {
            let align_corners = match interpolation {
                Interpolation::Nearest => return vec![((i * from / to).min(last), 1.0)],
                Interpolation::Trilinear { align_corners } => align_corners,
            };
            let source = if !align_corners {
                ((i as f64 + 0.5) * from as f64 / to as f64 - 0.5).max(0.0)
            } else if to > 1 {
                i as f64 * last as f64 / (to - 1) as f64
            } else {
                0.0
            };
            let below = (source as usize).min(last);
            let share = source - below as f64;
            if below == last || share == 0.0 {
                return vec![(below, 1.0)];
            }
            vec![(below, 1.0 - share), (below + 1, share)]
        };
        Self::of((0..to).map(place))
    }

    fn of(places: impl Iterator<Item = Vec<(usize, f64)>>) -> Self {
        let mut taps = Taps { starts: vec![0], taps: Vec::new() };
        for place in places {
            taps.taps.extend(place);
            taps.starts.push(taps.taps.len());
        }
        taps
    }

    /// How many places there are.
    pub(super) fn len(&self) -> usize {
        self.starts.len() - 1
    }

    /// The places and weights that the place `i` is the sum of.
    pub(super) fn at(&self, i: usize) -> &[(usize, f64)] {
        &self.taps[self.starts[i]..self.starts[i + 1]]
    }

    /// The taps of the gradient: of the `from` places that these taps take their numbers from.
    pub(super) fn transposed(&self, from: usize) -> Self {
        let mut places = vec![Vec::new(); from];
        for to in 0..self.len() {
            for (from, weight) in self.at(to) {
                places[*from].push((to, *weight));
            }
        }
        Self::of(places.into_iter())
    }
}
