//! Steps of training.

use super::trial;
use cellseg_core::{Device, testing::relative_l2};
use cellseg_models::{
    Compute, VolumeView, WNet3dConfig,
    train::{Checkpoint, Observer, StepReport, TrainConfig, Trained, resume_on, train_on},
};
use libtest_mimic::Trial;
use ndarray::Array3;
use std::{ops::ControlFlow, process::Command};

pub(crate) fn trials(device: &Device) -> Vec<Trial> {
    vec![
        trial(device, STRICT, strict),
        trial(device, "a step of training in f32 is that of the CPU", |gpu| {
            // Convolutions in f32 round their factors to tf32, which has the 11 bits of f16.
            let (here, there) = (step(&Device::Cpu, Compute::F32), step(gpu, Compute::F32));
            let of_f16 = relative_l2(&step(&Device::Cpu, Compute::F16).1, &here.1);
            compare(&there, &here, 1e-3, of_f16);
        }),
        trial(device, "a step of training in f16 is that of the CPU", |gpu| half(gpu, Compute::F16)),
        trial(device, "a step of training in bf16 is that of the CPU", |gpu| half(gpu, Compute::BF16)),
        trial(device, "training twice gives the same bits", |gpu| {
            let config = TrainConfig { steps: 2, ..small(Compute::BF16) };
            assert_eq!(run(gpu, &config).1.checkpoint, run(gpu, &config).1.checkpoint);
        }),
        trial(device, "a checkpoint goes on with the same bits, and on the other device", |gpu| {
            let config = TrainConfig { steps: 2, checkpoint_every: 1, ..small(Compute::F16) };
            let (recorder, trained) = run(gpu, &config);
            let go_on = |device: &Device| {
                let volume = volume();
                let views = [VolumeView::isotropic("balls", volume.view())];
                resume_on(device, &recorder.checkpoints[0], &views, &[], &mut ()).unwrap()
            };
            assert_eq!(go_on(gpu).checkpoint, trained.checkpoint);
            let crossed = go_on(&Device::Cpu);
            assert_eq!(crossed.network.device(), Device::Cpu);
            let error = relative_l2(&moments(&crossed), &moments(&trained));
            assert!(error < 0.3, "{error}");
        }),
    ]
}

const STRICT: &str = "a step of training in f32 is that of the CPU where convolutions are strict";

/// In a process of its own, as the precision of convolutions is one for all of a process.
fn strict(gpu: &Device) {
    const VARIABLE: &str = "CELLSEG_PRECISION";
    if std::env::var(VARIABLE).is_ok_and(|value| value == "strict") {
        let (here, there) = (step(&Device::Cpu, Compute::F32), step(gpu, Compute::F32));
        // Measured on the emulated device: losses within 2e-7, the gradient within 2e-6.
        return compare(&there, &here, 1e-5, 1e-4);
    }
    let this = std::env::current_exe().unwrap();
    let output = Command::new(this).args(["--exact", STRICT]).env(VARIABLE, "strict").output().unwrap();
    let told = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && told.contains("1 passed"), "{told}");
}

/// Three balls and their neighbourhood, with noise.
fn volume() -> Array3<f32> {
    let mut rng = cellseg_core::Rng::new(1);
    Array3::from_shape_fn([8, 16, 16], |(z, y, x)| {
        let near =
            |c: [f64; 3]| [z, y, x].iter().zip(c).map(|(&a, c)| (a as f64 - c).powi(2)).sum::<f64>() < 14.0;
        let ball = [[3.0, 4.0, 4.0], [5.0, 11.0, 5.0], [4.0, 8.0, 12.0]].into_iter().any(near);
        (if ball { 300.0 } else { 100.0 } + 20.0 * rng.normal()) as f32
    })
}

fn small(compute: Compute) -> TrainConfig {
    TrainConfig {
        network: WNet3dConfig { width: 8, ..WNet3dConfig::small() },
        steps: 1,
        patch: [8, 16, 16],
        checkpoint_every: 0,
        compute,
        ..TrainConfig::default()
    }
}

#[derive(Default)]
struct Recorder {
    steps: Vec<StepReport>,
    checkpoints: Vec<Checkpoint>,
}

impl Observer for Recorder {
    fn step(&mut self, report: &StepReport) -> ControlFlow<()> {
        self.steps.push(report.clone());
        ControlFlow::Continue(())
    }

    fn checkpoint(&mut self, c: &Checkpoint) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
        self.checkpoints.push(c.clone());
        Ok(())
    }
}

fn run(device: &Device, config: &TrainConfig) -> (Recorder, Trained) {
    let volume = volume();
    let mut recorder = Recorder::default();
    let views = [VolumeView::isotropic("balls", volume.view())];
    let trained = train_on(device, &views, &[], config, &mut recorder).unwrap();
    assert_eq!(trained.network.device(), *device);
    (recorder, trained)
}

/// The first moments of Adam: after one step a tenth of the clipped gradient of all weights.
fn moments(trained: &Trained) -> Vec<f64> {
    let arrays = trained.checkpoint.arrays().iter();
    arrays
        .filter(|(name, _)| name.starts_with("adam.exp_avg."))
        .flat_map(|(_, a)| a.map(|x| f64::from(*x)))
        .collect()
}

fn step(device: &Device, compute: Compute) -> (StepReport, Vec<f64>) {
    let (recorder, trained) = run(device, &small(compute));
    (recorder.steps[0].clone(), moments(&trained))
}

fn compare(there: &(StepReport, Vec<f64>), here: &(StepReport, Vec<f64>), losses: f64, gradient: f64) {
    let close = |what: &str, a: f64, b: f64, most: f64| {
        assert!((a / b - 1.0).abs() < most, "{what}: {a} on the GPU, {b} on the CPU");
    };
    close("SoftNCuts", there.0.term("n_cuts"), here.0.term("n_cuts"), losses);
    close("reconstruction", there.0.term("reconstruction"), here.0.term("reconstruction"), losses);
    close("loss", there.0.loss, here.0.loss, losses);
    close("gradient norm", there.0.gradient_norm, here.0.gradient_norm, gradient);
    let error = relative_l2(&there.1, &here.1);
    assert!(error < gradient, "the gradient differs by {error}");
}

/// The GPU is no further from single precision than the CPU is, where both round after each operation.
fn half(gpu: &Device, compute: Compute) {
    let single = step(&Device::Cpu, Compute::F32);
    let (here, there) = (step(&Device::Cpu, compute), step(gpu, compute));
    let of_cpu = relative_l2(&here.1, &single.1);
    assert!(of_cpu > 1e-3, "it is computed in {compute:?}: {of_cpu}");
    compare(&there, &single, 1e-2, 1.5 * of_cpu);
}
