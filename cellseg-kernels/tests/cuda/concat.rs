//! Joining tensors along the channels.

use crate::parity;
use cellseg_core::{Device, testing::noise};
use cellseg_kernels::concat::{cases::CASES, concat};
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
    trials
}
