//! What half precision promises: training that ends where single precision does, in weights of single precision.

mod support;

use cellseg_core::{DType, Tensor};
use cellseg_models::{
    Compute, Error, VolumeView, WNet3d, WNet3dConfig,
    infer::{Inference, Output, class_maps},
    layers::Module,
    train::{
        Checkpoint, LabelledVolume, Observer, StepReport, TrainConfig, Trained, dice, resume, train,
    },
    wnet3d::PassMode,
};
use ndarray::Array3;
use std::ops::ControlFlow;
use support::{balls, filled, image};

const HALVES: [Compute; 2] = [Compute::BF16, Compute::F16];

fn short(compute: Compute, steps: u64) -> TrainConfig {
    TrainConfig {
        network: WNet3dConfig { width: 4, ..WNet3dConfig::small() },
        steps,
        batch: 1,
        patch: [16; 3],
        checkpoint_every: 1,
        compute,
        ..TrainConfig::default()
    }
}

/// Remembers what it hears.
#[derive(Default)]
struct Recorder {
    steps: Vec<StepReport>,
    checkpoints: Vec<Checkpoint>,
}

impl Observer for Recorder {
    fn step(&mut self, report: &StepReport) -> ControlFlow<()> {
        self.steps.push(*report);
        ControlFlow::Continue(())
    }

    fn checkpoint(
        &mut self,
        checkpoint: &Checkpoint,
    ) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
        self.checkpoints.push(checkpoint.clone());
        Ok(())
    }
}
#[test]
fn explore() {
    let ((a, labels), (b, truth)) = (balls(1, [24, 32, 32]), balls(5, [24, 32, 32]));
    let views = [VolumeView::isotropic("a", a.view())];
    for compute in [Compute::F32, Compute::BF16, Compute::F16] {
    for seed in 0..4 {
        let t = std::time::Instant::now();
        let config = TrainConfig { seed, learning_rate: 2e-3, checkpoint_every: 0, ..short(compute, 40) };
        let mut r = Recorder::default();
        let trained = train(&views, &[], &config, &mut r).unwrap();
        let view = VolumeView::isotropic("b", b.view());
        let map = class_maps(&trained.network, &view, &config.inference(), &mut ()).unwrap().into_foreground();
        let last = r.steps[30..].iter().map(|s| s.loss).sum::<f64>() / 10.0;
        eprintln!("{compute:?} {seed}: first {} last {last} dice {} in {:?} norm {}", r.steps[0].loss, dice(map.view(), truth.view()), t.elapsed(), r.steps[39].gradient_norm);
    }}
}
