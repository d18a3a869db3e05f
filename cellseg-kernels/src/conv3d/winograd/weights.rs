//! Kernels at the points, in the order in which the register tiles read them.

use super::{
    maps::Taps,
    product::panel_vectors,
    shared::Shared,
    stage::{Vectors, along, same},
    tiling::apart,
};
use crate::{
    conv3d::{
        direct::{Problem, Weights},
        geometry::Direction,
    },
    scratch::Scratch,
    simd::{Isa, Lanes, Routine, WIDEST},
};
use cellseg_core::{Real, Result};
use rayon::prelude::*;
use std::marker::PhantomData;

/// Taps of a kernel per axis.
pub(super) const TAPS: usize = 3;

/// Input channels that one task transforms: neighbours share the cache lines of transposed weights.
const GROUP: usize = 16;

/// A kernel's values at the points of a tile: `[point][panel][input channel][output channel]`, where a panel is as many
/// vectors of output channels as a register tile has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Layout<T> {
    pub(super) direction: Direction,
    /// Whether the kernel's channels were exchanged.
    transposed: bool,
    /// Outputs of a tile per axis.
    pub(super) m: [usize; 3],
    pub(super) inputs: usize,
    pub(super) outputs: usize,
    /// Numbers of a vector.
    pub(super) lanes: usize,
    numbers: PhantomData<T>,
}

impl<T: Real> Layout<T> {
    fn new(isa: Isa, problem: &Problem, transposed: bool, m: [usize; 3]) -> Self {
        let Problem { direction, input_channels: inputs, output_channels: outputs, .. } = *problem;
        Layout { direction, transposed, m, inputs, outputs, lanes: isa.lanes::<T>(), numbers: PhantomData }
    }

    pub(super) fn points(&self) -> usize {
        self.m.iter().map(|m| m + 2).product()
    }

    /// Output channels, padded to whole vectors.
    pub(super) fn width(&self) -> usize {
        self.outputs.next_multiple_of(self.lanes)
    }

    fn panel_width(&self) -> usize {
        panel_vectors(size_of::<T>()) * self.lanes
    }

    /// Numbers between neighbouring points.
    fn step(&self) -> usize {
        apart(self.inputs * self.width())
    }

    pub(super) fn panels(&self) -> usize {
        self.width().div_ceil(self.panel_width())
    }

    /// The first output channel of a panel, and how many it has.
    #[inline(always)]
    fn panel(&self, panel: usize) -> (usize, usize) {
        let first = panel * self.panel_width();
        (first, self.panel_width().min(self.width() - first))
    }
}

/// A kernel's values at the points of a tile.
pub(crate) struct Transformed<T> {
    pub(super) layout: Layout<T>,
    values: Scratch<T>,
}

impl<T: Real> Transformed<T> {
    /// The kernel's values at the points of tiles of `m` outputs per axis.
    ///
    /// They are computed in double precision and rounded once: their errors would be those of every output.
    pub(crate) fn new(isa: Isa, problem: &Problem, weights: Weights<'_, T>, m: [usize; 3]) -> Result<Self> {
        let layout = Layout::<T>::new(isa, problem, weights.transposed, m);
        let inputs = layout.inputs;
        let mut values = Scratch::unspecified(layout.points() * layout.step())?;
        let out = Shared::new(&mut values);
        let groups = inputs.div_ceil(GROUP);
        (0..layout.panels() * groups).into_par_iter().for_each(|i| {
            let (panel, first) = (i / groups, i % groups * GROUP);
            let inputs = first..(first + GROUP).min(inputs);
            isa.run(Panel { layout, data: weights.data, inputs, panel, out });
        });
        Ok(Transformed { layout, values })
    }

    /// Whether these are the values that [`Transformed::new`] would compute, from the same numbers.
    pub(crate) fn is_of(&self, isa: Isa, problem: &Problem, transposed: bool, m: [usize; 3]) -> bool {
        self.layout == Layout::new(isa, problem, transposed, m)
    }

    /// Bytes of all values.
    pub(super) fn bytes(&self) -> usize {
        size_of_val::<[T]>(&self.values)
    }

    /// The first output channel of a panel, and its matrix of input by output channels at a point.
    #[inline(always)]
    pub(super) fn panel(&self, point: usize, panel: usize) -> (usize, &[T]) {
        let (channel, width) = self.layout.panel(panel);
        let Layout { inputs, .. } = self.layout;
        let start = point * self.layout.step() + channel * inputs;
        (channel, &self.values[start..start + inputs * width])
    }
}

/// Some input channels of a panel.
struct Panel<'a, T> {
    layout: Layout<T>,
    data: &'a [T],
    inputs: std::ops::Range<usize>,
    panel: usize,
    out: Shared<'a, T>,
}

impl<T: Real> Routine<f64> for Panel<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<L: Lanes<Elem = f64>>(self) {
        let Layout { m, inputs, outputs, direction, transposed, .. } = self.layout;
        let (channel, width) = self.layout.panel(self.panel);
        assert!(
            width.is_multiple_of(L::N)
                && L::N <= WIDEST
                && self.out.len() >= self.layout.points() * self.layout.step()
        );
        let points = m.map(|m| m + 2);
        let data = self.data;
        let tap_size = inputs * outputs;
        let (mut taps, mut values) = (Vectors::<L>::new(), Vectors::<L>::new());
        for input in self.inputs {
            for output in (channel..channel + width).step_by(L::N) {
                // Channels that do not exist stay zeros.
                let mut row = [0.0; WIDEST];
                let count = L::N.min(outputs.saturating_sub(output));
                for tap in 0..TAPS * TAPS * TAPS {
                    let from = match direction {
                        Direction::ToCoarse => tap,
                        Direction::ToFine => TAPS * TAPS * TAPS - 1 - tap,
                    } * tap_size;
                    if transposed {
                        let column = data.get(from + output * inputs + input..).unwrap_or_default();
                        let column = column.iter().step_by(inputs);
                        row.iter_mut().zip(column).take(count).for_each(|(to, x)| *to = x.wide());
                    } else {
                        let line = data.get(from + input * outputs + output..).unwrap_or_default();
                        row.iter_mut().zip(line).take(count).for_each(|(to, x)| *to = x.wide());
                    }
                    taps.row(tap / (TAPS * TAPS), tap / TAPS % TAPS)[tap % TAPS] =
                        L::from_slice(&row[..L::N]);
                }
                let (from, to) = (taps.place(), values.place());
                // SAFETY: both have room for all vectors of the largest tile.
                unsafe {
                    along::<L, Taps>(2, m[2], [TAPS; 3], from, to, same::<L>);
                    along::<L, Taps>(1, m[1], [TAPS, TAPS, points[2]], to, to, same::<L>);
                    along::<L, Taps>(0, m[0], [TAPS, points[1], points[2]], to, to, same::<L>);
                }
                for point in 0..self.layout.points() {
                    let (i, j) = (point / points[2], point % points[2]);
                    values.row(i / points[1], i % points[1])[j].write(&mut row[..L::N]);
                    let start =
                        point * self.layout.step() + channel * inputs + input * width + output - channel;
                    // SAFETY: this task alone refers to the input channel `input` of this panel.
                    let to = unsafe { self.out.slice(start, L::N) };
                    to.iter_mut().zip(&row).for_each(|(to, x)| *to = T::of(*x));
                }
            }
        }
    }
}
