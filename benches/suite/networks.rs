//! Whole networks of full width on the paper's patches: inference, and steps of training.

use super::{Case, Result, Round, Work, inputs::noise};
use cellseg_models::{
    VolumeView, WNet3d, WNet3dConfig,
    train::{Observer, StepReport, TrainConfig, train},
    wnet3d::PassMode,
};
use ndarray::Array3;
use serde_json::json;
use std::{
    ops::ControlFlow,
    sync::mpsc::{Receiver, Sender, channel},
    thread::{self, JoinHandle},
};

/// Voxels along each edge of a patch.
const EDGE: usize = 64;

/// Operations of the convolutions of one U-Net on a patch.
fn flops(width: usize, input: usize, output: usize) -> f64 {
    // Products of a level's convolutions, by the level's edge.
    let at = |edge: usize, products: usize| (edge.pow(3) * products) as f64;
    let double =
        |input: usize, output: usize| 27 * (input.pow(2) + output.pow(2)) + output * (input + output);
    let mut products = at(EDGE, 27 * width * (input + width) + 27 * width * 3 * width + width * output);
    for level in 0..3 {
        let (width, edge) = (width << level, EDGE >> level);
        // Down and, but for the last level, up again; then the transposed convolution to the level above.
        products += at(edge / 2, double(width, 2 * width) + 8 * 2 * width * width);
        if level < 2 {
            products += at(edge / 2, double(4 * width, 2 * width));
        }
    }
    2.0 * products
}

fn inference() -> Result<Round> {
    let network = WNet3d::encoder_only(&WNet3dConfig::paper(), 0)?;
    let x = noise(&[1, EDGE, EDGE, EDGE, 1], 1)?;
    Ok(Box::new(move |watch| Ok(vec![watch.time(|| network.logits(&x, &PassMode::default()))?])))
}

/// Does a step when it is told to, and says when it is done.
struct OnDemand {
    go: Receiver<()>,
    done: Sender<()>,
}

impl Observer for OnDemand {
    fn step(&mut self, _: &StepReport) -> ControlFlow<()> {
        match self.done.send(()).ok().and_then(|()| self.go.recv().ok()) {
            Some(()) => ControlFlow::Continue(()),
            None => ControlFlow::Break(()),
        }
    }
}

/// Training on a thread of its own, which ends with this.
struct Training {
    go: Option<Sender<()>>,
    done: Receiver<()>,
    thread: Option<JoinHandle<()>>,
}

impl Training {
    fn new(recompute: bool) -> Self {
        let (go, told) = channel();
        let (done, finished) = channel();
        let thread = thread::spawn(move || {
            let mut observer = OnDemand { go: told, done };
            let voxels = Array3::from_shape_fn([EDGE; 3], |(z, y, x)| ((z * 7 + y * 5 + x * 3) % 101) as f32);
            let volumes = [VolumeView::isotropic("patch", voxels.view())];
            let config = TrainConfig { batch: 1, steps: u64::MAX, recompute, ..TrainConfig::paper() };
            if observer.go.recv().is_ok() {
                train(&volumes, &[], &config, &mut observer).expect("training runs");
            }
        });
        Training { go: Some(go), done: finished, thread: Some(thread) }
    }

    fn step(&self) -> Result<()> {
        self.go.as_ref().ok_or("training has ended")?.send(())?;
        Ok(self.done.recv()?)
    }
}

impl Drop for Training {
    fn drop(&mut self) {
        self.go = None;
        if let Some(thread) = self.thread.take() {
            thread.join().expect("training does not panic");
        }
    }
}

fn training(recompute: bool) -> Result<Round> {
    let training = Training::new(recompute);
    // The first step makes the network and fills the caches.
    training.step()?;
    Ok(Box::new(move |watch| {
        watch.time(|| training.step())?;
        Ok(vec![])
    }))
}

/// The encoder alone, and steps of training with and without computing activations twice.
pub(crate) fn cases() -> Vec<Case> {
    let width = WNet3dConfig::paper().width;
    let forward = flops(width, 1, 2) + flops(width, 2, 1);
    let what = |pass| json!({ "operation": "wnet3d", "pass": pass, "width": width, "edge": EDGE });
    vec![
        Case {
            name: "wnet3d encoder 64^3 inference".into(),
            what: what("inference"),
            work: Work::Flops(flops(width, 1, 2)),
            prepare: Box::new(inference),
        },
        Case {
            name: "wnet3d 64^3 training step".into(),
            what: what("training step"),
            work: Work::Flops(3.0 * forward),
            prepare: Box::new(|| training(false)),
        },
        Case {
            name: "wnet3d 64^3 training step, recomputing".into(),
            what: what("training step"),
            work: Work::Flops(3.0 * forward),
            prepare: Box::new(|| training(true)),
        },
    ]
}
