//! Tensor memory of training and inference once their first rounds are over.

use cellseg_core::{Tensor, memory};
use cellseg_models::{
    VolumeView, WNet3d, WNet3dConfig,
    train::{Observer, StepReport, TrainConfig, train},
    wnet3d::PassMode,
};
use ndarray::Array3;
use std::ops::ControlFlow;

/// The counter of memory that was asked of the system, after each step.
struct Fresh(Vec<u64>);

impl Observer for Fresh {
    fn step(&mut self, _: &StepReport) -> ControlFlow<()> {
        self.0.push(memory::stats().fresh);
        ControlFlow::Continue(())
    }
}

// One test: the counter is that of the process.
#[test]
fn neither_training_nor_inference_asks_the_system_for_tensor_memory_once_it_runs() {
    // With more threads it is a matter of timing how much scratch is in use at once.
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
    pool.install(|| {
        let voxels = Array3::from_shape_fn([24; 3], |(z, y, x)| ((z * 7 + y * 5 + x * 3) % 23) as f32);
        let volumes = [VolumeView::isotropic("stripes", voxels.view())];
        let config = TrainConfig { patch: [16; 3], steps: 8, checkpoint_every: 0, ..TrainConfig::default() };
        let mut fresh = Fresh(vec![]);
        train(&volumes, &[], &config, &mut fresh).unwrap();
        assert_eq!(fresh.0[3], fresh.0[7], "counted after each step: {:?}", fresh.0);

        let network = WNet3d::encoder_only(&WNet3dConfig::small(), 0).unwrap();
        let x = Tensor::full(1.0f32, &[1, 16, 16, 16, 1]).unwrap();
        let infer = || {
            network.logits(&x, &PassMode::default()).unwrap();
            memory::stats().fresh
        };
        let counted: Vec<_> = (0..5).map(|_| infer()).collect();
        assert_eq!(counted[2], counted[4], "counted after each pass: {counted:?}");
    });
}
