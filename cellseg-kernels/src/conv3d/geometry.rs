//! Which voxels a convolution links, axis by axis.
//!
//! A convolution links the voxel `fine` of its input with the voxel `coarse` of its output through the tap `k` of its
//! kernel where `fine = coarse * stride + k - padding`. All that convolutions compute are sums over these links:
//!
//! | | sums into | direction |
//! |---|---|---|
//! | convolution, data gradient of a transposed one | coarse voxels | [`Direction::ToCoarse`] |
//! | transposed convolution, data gradient of a convolution | fine voxels | [`Direction::ToFine`] |
//! | weight gradients of both | taps | |

use std::ops::Range;

/// One axis of a convolution.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Axis {
    /// Voxels of the convolution's input.
    pub(crate) fine: usize,
    /// Voxels of the convolution's output.
    pub(crate) coarse: usize,
    /// Taps of the kernel.
    pub(crate) kernel: usize,
    pub(crate) stride: usize,
    pub(crate) padding: usize,
}

/// Which end of the links is computed from the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Direction {
    ToCoarse,
    ToFine,
}

impl Direction {
    /// The direction in which gradients flow.
    pub(crate) fn reversed(self) -> Self {
        match self {
            Direction::ToCoarse => Direction::ToFine,
            Direction::ToFine => Direction::ToCoarse,
        }
    }
}

/// Outputs at equal distances along an axis that see the same taps, and what they read.
///
/// The output `first + j * step` reads the inputs `start + j * stride + t` with the tap `taps[t]`, where they exist.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Phase {
    pub(crate) first: usize,
    pub(crate) step: usize,
    pub(crate) count: usize,
    pub(crate) start: isize,
    pub(crate) stride: usize,
    pub(crate) taps: Vec<usize>,
}

impl Axis {
    /// Voxels that the sums go into.
    pub(crate) fn outputs(&self, direction: Direction) -> usize {
        match direction {
            Direction::ToCoarse => self.coarse,
            Direction::ToFine => self.fine,
        }
    }

    /// Voxels that are read.
    pub(crate) fn inputs(&self, direction: Direction) -> usize {
        match direction {
            Direction::ToCoarse => self.fine,
            Direction::ToFine => self.coarse,
        }
    }

    /// The voxel that the output `at` reads with `tap`, if there is one.
    pub(crate) fn source(&self, direction: Direction, at: usize, tap: usize) -> Option<usize> {
        match direction {
            Direction::ToCoarse => {
                (at * self.stride + tap).checked_sub(self.padding).filter(|&i| i < self.fine)
            }
            Direction::ToFine => {
                let scaled = (at + self.padding).checked_sub(tap)?;
                scaled
                    .is_multiple_of(self.stride)
                    .then_some(scaled / self.stride)
                    .filter(|&o| o < self.coarse)
            }
        }
    }

    /// The coarse voxels whose link through `tap` ends at an existing fine voxel.
    pub(crate) fn coarse_range(&self, tap: usize) -> Range<usize> {
        let first = self.padding.saturating_sub(tap).div_ceil(self.stride);
        let end = (self.fine + self.padding).saturating_sub(tap).div_ceil(self.stride).min(self.coarse);
        first.min(end)..end
    }

    /// All outputs of the axis, sorted into phases: one towards coarse voxels, `stride` of them towards fine ones.
    pub(crate) fn phases(&self, direction: Direction) -> Vec<Phase> {
        let s = self.stride;
        match direction {
            Direction::ToCoarse => vec![Phase {
                first: 0,
                step: 1,
                count: self.coarse,
                start: -(self.padding as isize),
                stride: s,
                taps: (0..self.kernel).collect(),
            }],
            Direction::ToFine => (0..s.min(self.fine))
                .map(|first| {
                    // From the last tap to the first, so that the voxels read lie in ascending order.
                    let taps: Vec<_> = (0..self.kernel)
                        .rev()
                        .filter(|k| (first + self.padding + s - k % s).is_multiple_of(s))
                        .collect();
                    let reach = (first + self.padding) as isize - taps.first().copied().unwrap_or(0) as isize;
                    Phase {
                        first,
                        step: s,
                        count: (self.fine - first).div_ceil(s),
                        start: reach.div_euclid(s as isize),
                        stride: 1,
                        taps,
                    }
                })
                .collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn axis() -> impl Strategy<Value = Axis> {
        (1usize..12, 1usize..6, 1usize..4, 0usize..4)
            .prop_filter("the kernel fits", |(fine, kernel, _, padding)| fine + 2 * padding >= *kernel)
            .prop_map(|(fine, kernel, stride, padding)| Axis {
                fine,
                coarse: (fine + 2 * padding - kernel) / stride + 1,
                kernel,
                stride,
                padding,
            })
    }

    /// Every `(coarse, tap, fine)` by the definition.
    fn links(a: &Axis) -> Vec<(usize, usize, usize)> {
        let all = (0..a.coarse).flat_map(|o| (0..a.kernel).map(move |k| (o, k)));
        all.filter_map(|(o, k)| {
            let fine = (o * a.stride + k) as isize - a.padding as isize;
            (0..a.fine as isize).contains(&fine).then_some((o, k, fine as usize))
        })
        .collect()
    }

    proptest! {
        #[test]
        fn sources_are_the_links(a in axis()) {
            let mut to_coarse = vec![];
            let mut to_fine = vec![];
            for k in 0..a.kernel {
                to_coarse.extend((0..a.coarse).filter_map(|o| Some((o, k, a.source(Direction::ToCoarse, o, k)?))));
                to_fine.extend((0..a.fine).filter_map(|i| Some((a.source(Direction::ToFine, i, k)?, k, i))));
            }
            to_coarse.sort();
            to_fine.sort();
            prop_assert_eq!(&to_coarse, &links(&a));
            prop_assert_eq!(&to_fine, &links(&a));
        }

        #[test]
        fn ranges_are_the_links(a in axis()) {
            let ranges = (0..a.kernel).flat_map(|k| a.coarse_range(k).map(move |o| (o, k)));
            let mut found: Vec<_> = ranges.map(|(o, k)| (o, k, o * a.stride + k - a.padding)).collect();
            found.sort();
            prop_assert_eq!(found, links(&a));
        }

        #[test]
        fn phases_cover_every_output_with_its_links(a in axis(), fine in any::<bool>()) {
            let direction = if fine { Direction::ToFine } else { Direction::ToCoarse };
            let mut outputs = vec![];
            let mut found = vec![];
            for p in a.phases(direction) {
                for j in 0..p.count {
                    let out = p.first + j * p.step;
                    outputs.push(out);
                    for (t, &tap) in p.taps.iter().enumerate() {
                        let from = p.start + (j * p.stride + t) as isize;
                        if (0..a.inputs(direction) as isize).contains(&from) {
                            let from = from as usize;
                            found.push(if fine { (from, tap, out) } else { (out, tap, from) });
                        }
                    }
                }
            }
            outputs.sort();
            found.sort();
            prop_assert_eq!(outputs, (0..a.outputs(direction)).collect::<Vec<_>>());
            prop_assert_eq!(found, links(&a));
        }
    }
}
