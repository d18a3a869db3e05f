//! Joining tensors along the channels, and picking blocks of channels.

use crate::parity;
use cellseg_core::{Device, testing::noise};
use cellseg_kernels::concat::{
    cases::{CASES, PICKS},
    concat, pick_blocks,
};
use libtest_mimic::Trial;

pub(crate) fn trials(device: &Device) -> Vec<Trial> {
    let mut trials = Vec::new();
    for (dims, channels) in CASES.iter().chain(&[(&[2, 3, 5][..], [8, 16, 24])]) {
        let parts: Vec<_> =
            (1..).zip(channels).map(|(seed, &c)| noise(&[dims, &[c][..]].concat(), seed)).collect();
        let name = format!("{channels:?} channels of {dims:?} joined");
        // No arithmetic: not one bit may differ.
        trials.extend(parity::trials(device, &name, &parts, 0.0, |v| concat([&v[0], &v[1], &v[2]])));
    }
    for (dims, width, count, picks) in PICKS {
        let x = noise(&[dims, &[width * count][..]].concat(), 1);
        let name = format!("blocks {picks:?} of {width} channels of {dims:?} picked");
        trials.extend(parity::trials(device, &name, &[x], 0.0, |v| pick_blocks(&v[0], *width, picks)));
    }
    trials
}
