//! Whole networks of full width on the paper's patches: inference, and steps of training.

use super::{Case, Result, Round, Work, inputs::single, place::place};
use cellseg_models::{
    VolumeView, WNet3d, WNet3dConfig,
    infer::{Inference, class_maps},
    train::{Observer, StepReport, TrainConfig, train_on},
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

/// The encoder where and in the type in which cases run.
fn encoder() -> Result<WNet3d> {
    Ok(WNet3d::encoder_only(&WNet3dConfig::paper(), 0)?.with_compute(place().compute).to(&place().device)?)
}

/// A volume from host memory to class probabilities in host memory.
fn whole_volume(edge: usize) -> Result<Round> {
    let network = encoder()?;
    let voxels = grey(edge);
    let settings = Inference { compute: place().compute, ..Inference::default() };
    Ok(Box::new(move |watch| {
        watch.time(|| {
            class_maps(&network, &VolumeView::isotropic("volume", voxels.view()), &settings, &mut ())
        })?;
        Ok(vec![])
    }))
}

/// Voxels that are not all alike.
fn grey(edge: usize) -> Array3<f32> {
    Array3::from_shape_fn([edge; 3], |(z, y, x)| ((z * 7 + y * 5 + x * 3) % 101) as f32)
}

fn inference() -> Result<Round> {
    let network = encoder()?;
    let x = single(&[1, EDGE, EDGE, EDGE, 1], 1)?;
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
    fn new(batch: usize, recompute: bool) -> Self {
        let (go, told) = channel();
        let (done, finished) = channel();
        let thread = thread::spawn(move || {
            let mut observer = OnDemand { go: told, done };
            let voxels = grey(EDGE);
            let volumes = [VolumeView::isotropic("patch", voxels.view())];
            let config = TrainConfig {
                batch,
                steps: u64::MAX,
                recompute,
                compute: place().compute,
                ..TrainConfig::paper()
            };
            if observer.go.recv().is_ok() {
                train_on(&place().device, &volumes, &[], &config, &mut observer).expect("training runs");
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

fn training(batch: usize, recompute: bool) -> Result<Round> {
    let training = Training::new(batch, recompute);
    // The first step makes the network and fills the caches.
    training.step()?;
    Ok(Box::new(move |watch| {
        watch.time(|| training.step())?;
        Ok(vec![])
    }))
}

/// The encoder alone, and steps of training with and without computing activations twice; on a GPU with the patches that it
/// has room for, and a whole volume.
pub(crate) fn cases() -> Vec<Case> {
    let width = WNet3dConfig::paper().width;
    let forward = flops(width, 1, 2) + flops(width, 2, 1);
    let gpu = place().gpu().is_some();
    let batch = if gpu { 8 } else { 1 };
    let what = |pass, batch, edge| json!({ "operation": "wnet3d", "pass": pass, "width": width, "edge": edge, "batch": batch });
    let training_case = |suffix: &str, recompute| Case {
        name: format!("wnet3d 64^3 training step{}{suffix}", if gpu { ", batch 8" } else { "" }),
        what: what("training step", batch, EDGE),
        work: Work::Flops(3.0 * forward * batch as f64),
        prepare: Box::new(move || training(batch, recompute)),
    };
    let mut cases = vec![
        Case {
            name: "wnet3d encoder 64^3 inference".into(),
            what: what("inference", 1, EDGE),
            work: Work::Flops(flops(width, 1, 2)),
            prepare: Box::new(inference),
        },
        training_case("", false),
        training_case(", recomputing", true),
    ];
    if gpu {
        const VOLUME: usize = 512;
        // Windows overlap by a quarter: steps of 48 voxels, the last one as far back as it must.
        let windows = (VOLUME - EDGE).div_ceil(EDGE * 3 / 4) + 1;
        cases.push(Case {
            name: format!("wnet3d encoder, whole volume of {VOLUME}^3"),
            what: what("whole volume", 1, VOLUME),
            work: Work::Flops(flops(width, 1, 2) * windows.pow(3) as f64),
            prepare: Box::new(|| whole_volume(VOLUME)),
        });
    }
    cases
}
