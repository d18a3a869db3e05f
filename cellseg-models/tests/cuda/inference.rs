//! Windowed inference.

use super::trial;
use cellseg_core::Device;
use cellseg_models::{
    Compute, VolumeView, WNet3d, WNet3dConfig,
    infer::{Compat, Inference, Output, Progress, Windows, class_maps, sliding_window, sliding_window_on},
    intensity::Normalisation,
    wnet3d::PassMode,
};
use libtest_mimic::Trial;
use ndarray::{Array3, Array4};
use std::ops::ControlFlow;

pub(crate) fn trials(device: &Device) -> Vec<Trial> {
    vec![
        // The largest differences of probabilities, which lie from 0 to 1.
        trial(device, "maps in f32 are those of the CPU", |gpu| {
            parity(gpu, Compute::F32, Compat::None, 3e-3)
        }),
        trial(device, "maps in f16 are those of the CPU", |gpu| {
            parity(gpu, Compute::F16, Compat::None, 1e-2)
        }),
        trial(device, "maps in bf16 are those of the CPU", |gpu| {
            parity(gpu, Compute::BF16, Compat::None, 5e-2)
        }),
        trial(device, "maps like CellSeg3D's are those of the CPU", |gpu| {
            parity(gpu, Compute::F32, Compat::CellSeg3D, 1e-2);
        }),
        trial(device, "windows on their way change no bit", staging),
        trial(device, "a stop between windows is heard", stop),
    ]
}

fn volume() -> Array3<f32> {
    let mut rng = cellseg_core::Rng::new(7);
    Array3::from_shape_fn([8, 20, 12], |(z, y, x)| {
        let wave = (0.7 * z as f64).sin() + (0.5 * y as f64).sin() + (0.9 * x as f64).sin();
        (100.0 + 20.0 * wave + 5.0 * rng.normal()) as f32
    })
}

fn network() -> WNet3d {
    WNet3d::encoder_only(&WNet3dConfig { width: 8, ..WNet3dConfig::small() }, 3).unwrap()
}

fn settings(compute: Compute, compat: Compat) -> Inference {
    let windows = Windows { window: [8; 3], ..Windows::default() };
    Inference {
        windows,
        normalisation: Normalisation::MinMax,
        output: Output::Probabilities,
        compat,
        compute,
        ..Inference::default()
    }
}

fn maps(device: &Device, settings: &Inference) -> Array4<f32> {
    let volume = volume();
    let network = network().to(device).unwrap();
    class_maps(&network, &VolumeView::isotropic("v", volume.view()), settings, &mut ()).unwrap().into_maps()
}

fn parity(gpu: &Device, compute: Compute, compat: Compat, most: f32) {
    let settings = settings(compute, compat);
    let (here, there) = (maps(&Device::Cpu, &settings), maps(gpu, &settings));
    let largest = (&there - &here).iter().fold(0f32, |m, d| m.max(d.abs()));
    assert!(largest < most, "{compute:?}, {compat:?}: a difference of {largest}");
    assert_eq!(maps(gpu, &settings), there, "twice to the same bits");
}

/// Copies beside the kernels, against windows that are sent, waited for and fetched one by one.
fn staging(gpu: &Device) {
    let (volume, network) = (volume(), network().to(gpu).unwrap());
    let view = VolumeView::isotropic("v", volume.view());
    let windows = settings(Compute::F32, Compat::None).windows;
    let mode = PassMode::default();
    let beside = sliding_window_on(gpu, &view, 2, 8, &windows, &|x| network.logits(x, &mode), &mut ());
    let plain = sliding_window(&view, 2, &windows, &|x| network.logits(&x.to(gpu)?, &mode), &mut ()).unwrap();
    assert_eq!(beside.unwrap(), plain);
}

struct After(usize);

impl Progress for After {
    fn windows(&mut self, done: usize, _: usize) -> ControlFlow<()> {
        if done == self.0 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }
}

fn stop(gpu: &Device) {
    let (volume, network) = (volume(), network().to(gpu).unwrap());
    let view = VolumeView::isotropic("v", volume.view());
    let settings = settings(Compute::F32, Compat::None);
    let stopped = class_maps(&network, &view, &settings, &mut After(2));
    assert!(matches!(stopped, Err(cellseg_models::Error::Cancelled)));
}
