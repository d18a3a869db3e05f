//! Tutorial 3: training without labels, interrupting it, and going on as if nothing had happened.
//!
//! A WNet3D is two U-Nets in a row. The first sorts the voxels into classes, the second must paint the volume again from
//! the classes alone. Classes that are uniform and compact (SoftNCuts) and tell enough about the image (reconstruction)
//! turn out to be cells and background.
//!
//!     cargo run --release --example 03_train_without_labels

use cellseg::{
    Error,
    io::{Overwrite, Spacing, Volume, synth},
    models::{
        train::{Checkpoint, End, Observer, StepReport, TrainConfig},
        wnet3d::WNet3dConfig,
    },
    read_checkpoint, read_wnet3d, resume, train, write_checkpoint, write_network,
};
use std::{ops::ControlFlow, path::PathBuf};

fn main() -> Result<(), Error> {
    let folder = std::env::temp_dir().join("cellseg_tutorial_3");
    std::fs::create_dir_all(&folder).map_err(|e| Error::usage(e.to_string()))?;

    // Any number of volumes can be trained on; they need not have the same size. This one is small and synthetic.
    let options = synth::SynthOptions { shape: [32, 64, 64], nuclei: 20, ..Default::default() };
    let made = synth::generate(&options)?;
    let volume = Volume::new(made.image, "tutorial").with_spacing(Spacing::new(options.spacing_um)?);
    let volumes = [volume];

    // All settings have defaults, and are the same that `cellseg train --config run.toml` reads. A narrow network and few
    // steps keep this tutorial short; do not expect much of its cells.
    let config = TrainConfig {
        network: WNet3dConfig { width: 8, ..WNet3dConfig::small() },
        steps: 40,
        patch: [24; 3],
        checkpoint_every: 10,
        ..TrainConfig::default()
    };

    // An observer hears of each step, may stop, and keeps the checkpoints.
    let mut keeper = Keeper { checkpoint: folder.join("checkpoint.safetensors"), stop_after: 25 };
    let stopped = train(&volumes, &[], &config, &mut keeper)?;
    assert_eq!((stopped.end, stopped.steps), (End::Stopped, 25));
    println!("stopped after step {}, as if by Ctrl-C", stopped.steps);

    // The checkpoint holds the weights, the optimiser, the settings and all that randomness depends on.
    keeper.stop_after = u64::MAX;
    let resumed = resume(&read_checkpoint(&keeper.checkpoint)?, &volumes, &[], &mut keeper)?;

    // Training that was never stopped ends in the same weights, bit by bit.
    let whole = train(&volumes, &[], &config, &mut ())?;
    assert_eq!(resumed.network.state()?, whole.network.state()?);
    println!("training that was interrupted and training that was not gave the same weights");

    // Weights are safetensors, with how the network is to be used in their metadata.
    let weights = folder.join("weights.safetensors");
    write_network(&weights, &whole.network, &config.inference(), Overwrite::Replace)?;
    let (network, inference) = read_wnet3d(&weights)?;
    assert_eq!((network.state()?, inference), (whole.network.state()?, config.inference()));
    println!("weights: {}", weights.display());
    Ok(())
}

struct Keeper {
    checkpoint: PathBuf,
    stop_after: u64,
}

impl Observer for Keeper {
    fn step(&mut self, r: &StepReport) -> ControlFlow<()> {
        if r.step.is_multiple_of(5) {
            let (n_cuts, reconstruction) = (r.term("n_cuts"), r.term("reconstruction"));
            println!("step {:2}: SoftNCuts {n_cuts:.3}, reconstruction {reconstruction:.1}", r.step);
        }
        if r.step >= self.stop_after { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }

    fn checkpoint(&mut self, c: &Checkpoint) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
        Ok(write_checkpoint(&self.checkpoint, c)?)
    }
}
