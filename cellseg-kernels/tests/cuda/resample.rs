//! Resizing of volumes.

use crate::parity;
use cellseg_core::{Device, testing::noise};
use cellseg_kernels::resample::{
    Interpolation,
    cases::{CASES, TOLERANCE},
    resize,
};
use libtest_mimic::Trial;

/// Channels that packs fill, larger and smaller, and extents of one on either side.
const MORE: &[([usize; 5], [usize; 3])] = &[
    ([2, 3, 4, 5, 8], [6, 8, 10]),
    ([1, 7, 5, 9, 16], [3, 5, 4]),
    ([1, 1, 2, 5, 8], [4, 1, 13]),
    ([1, 2, 1, 3, 4], [1, 5, 1]),
];

pub(crate) fn trials(device: &Device) -> Vec<Trial> {
    let mut trials = Vec::new();
    for (dims, size) in CASES.iter().chain(MORE) {
        for interpolation in [
            Interpolation::Nearest,
            Interpolation::Trilinear { align_corners: false },
            Interpolation::Trilinear { align_corners: true },
        ] {
            let name = format!("{dims:?} resized to {size:?}, {interpolation:?}");
            let f = move |v: &[cellseg_core::Tensor]| resize(&v[0], *size, interpolation);
            trials.extend(parity::trials(device, &name, &[noise(dims, 1)], TOLERANCE, f));
        }
    }
    trials
}
