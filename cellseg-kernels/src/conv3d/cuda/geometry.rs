//! Axes and divisors as device code takes them: cellseg-core/src/cuda/device_code/links.cuh.

use super::super::geometry::{Axis, Direction};

/// Taps of an axis that a kernel's mask of reachable taps has room for.
pub(super) const MASKED_TAPS: usize = 10;

/// A number to divide by, as a multiplication and a shift.
///
/// `n / divisor` is `(high 32 bits of n * multiplier + n) >> shift` for `n` below 2^31 (Granlund and Montgomery, PLDI
/// 1994, section 4).
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub(super) struct Divisor {
    divisor: u32,
    multiplier: u32,
    shift: u32,
}

impl Divisor {
    /// For `divisor` from 1 to 2^31 - 1.
    pub(super) fn new(divisor: usize) -> Self {
        let divisor = divisor as u32;
        let shift = 32 - (divisor - 1).leading_zeros();
        let beyond = (1u64 << shift) - u64::from(divisor);
        let multiplier = ((beyond << 32) / u64::from(divisor) + 1) as u32;
        Divisor { divisor, multiplier, shift }
    }
}

/// One axis of sums into voxels.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub(super) struct LinkAxis {
    inputs: i32,
    outputs: i32,
    kernel: i32,
    stride: i32,
    padding: i32,
    phases: i32,
    counts: Divisor,
}

impl LinkAxis {
    /// The axis in this direction. Extents, strides and paddings are below 2^31: see `links::MOST_EXTENT`.
    pub(super) fn new(axis: &Axis, direction: Direction) -> Self {
        let (phases, most) = phases(axis, direction);
        LinkAxis {
            inputs: axis.inputs(direction) as i32,
            outputs: axis.outputs(direction) as i32,
            kernel: axis.kernel as i32,
            stride: axis.stride as i32,
            padding: axis.padding as i32,
            phases: phases as i32,
            counts: Divisor::new(most),
        }
    }
}

/// How many phases the axis has, and the outputs of the longest.
pub(super) fn phases(axis: &Axis, direction: Direction) -> (usize, usize) {
    match direction {
        Direction::ToCoarse => (1, axis.coarse),
        Direction::ToFine => (axis.stride.min(axis.fine), axis.fine.div_ceil(axis.stride)),
    }
}

/// The taps of the phase that has the most.
pub(super) fn longest_phase(axis: &Axis, direction: Direction) -> usize {
    match direction {
        Direction::ToCoarse => axis.kernel,
        Direction::ToFine => axis.kernel.div_ceil(axis.stride),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_divisor_divides(divisor in 1u32..=i32::MAX as u32, n in 0u32..=i32::MAX as u32, small in 1u32..600) {
            for divisor in [divisor, small] {
                let d = Divisor::new(divisor as usize);
                let high = (u64::from(n) * u64::from(d.multiplier)) >> 32;
                prop_assert_eq!((high as u32 + n) >> d.shift, n / divisor);
            }
        }

        #[test]
        fn no_phase_is_longer_than_the_counts_say(fine in 1usize..40, kernel in 1usize..6, stride in 1usize..6) {
            let axis = Axis { fine, coarse: (fine + 8 - kernel) / stride + 1, kernel, stride, padding: 4 };
            for direction in [Direction::ToCoarse, Direction::ToFine] {
                let all = axis.phases(direction);
                prop_assert_eq!(phases(&axis, direction), (all.len(), all.iter().map(|p| p.count).max().unwrap()));
                let longest = all.iter().map(|p| p.taps.len()).max().unwrap();
                prop_assert!(longest <= longest_phase(&axis, direction));
            }
        }
    }
}
