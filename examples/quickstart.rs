//! From a raw volume to counted cells, without a label: the whole way in one program.
//!
//!     cargo run --release --example quickstart
//!     cargo run --release --example quickstart -- path/to/volume.tif
//!     cargo run --release --example quickstart -- --json
//!
//! Without a path a synthetic volume is made, and the result is scored against its truth, which training never sees.
//! Labels, a table of the cells and a picture are written to the folder `quickstart/`.

use cellseg::{
    Error, Evaluation, Segmenter,
    io::{Overwrite, Spacing, Volume, read_volume, synth, write_labels},
    models::train::{Observer, StepReport, TrainConfig},
    post::{Connectivity, OtsuRule, components, mask_above, otsu},
    train,
};
use ndarray::Array3;
use std::{ops::ControlFlow, path::Path, time::Instant};

fn main() -> Result<(), Error> {
    let (mut path, mut json) = (None, false);
    for argument in std::env::args().skip(1) {
        if argument == "--json" { json = true } else { path = Some(argument) }
    }
    let start = Instant::now();

    // 1. A volume: intensities (z, y, x) and, if known, how far apart the voxels are.
    let (volume, truth) = match path {
        Some(path) => (read_volume(path)?, None),
        None => {
            let options = synth::SynthOptions::default();
            let made = synth::generate(&options)?;
            let volume = Volume::new(made.image, "synthetic").with_spacing(Spacing::new(options.spacing_um)?);
            (volume, Some(made.labels))
        }
    };
    let [d, h, w] = volume.shape();
    eprintln!("volume: {} of {d} x {h} x {w} voxels", volume.name);

    // 2. A network learns to tell cells from background by looking at the volume. No label is used.
    let config = TrainConfig::default();
    let trained = train(std::slice::from_ref(&volume), &[], &config, &mut Report)?;
    eprintln!("\ntrained {} steps in {:.0} s", trained.steps, start.elapsed().as_secs_f64());

    // 3. The network's map of the foreground is split into cells.
    let segmenter = Segmenter::new(trained.network, config.inference());
    let found = segmenter.segment(&volume, &mut ())?;

    // 4. Everything is written to files.
    let folder = Path::new("quickstart");
    std::fs::create_dir_all(folder)
        .map_err(|e| Error::usage(format!("cannot make {}: {e}", folder.display())))?;
    let [labels, table, picture] = ["labels.tif", "cells.csv", "overlay.png"].map(|name| folder.join(name));
    write_labels(&labels, &found.labels, Overwrite::Replace)?;
    found.write_table(&table, &volume, Overwrite::Replace)?;
    found.write_preview(&picture, &volume, Overwrite::Replace)?;
    for path in [&labels, &table, &picture] {
        eprintln!("wrote {}", path.display());
    }

    // 5. Where the truth is known, it says how good that is, and what a threshold alone would have found.
    let (cells, seconds) = (found.cells, start.elapsed().as_secs_f64());
    let mut report = format!(r#"{{"cells": {cells}, "seconds": {seconds:.1}}}"#);
    println!("{cells} cells in {seconds:.0} s");
    if let Some(truth) = truth {
        let f1 = Evaluation::of(truth.view(), found.labels.data.view())?.f1;
        let baseline = Evaluation::of(truth.view(), otsu_and_components(&volume)?.view())?.f1;
        println!("3D F1 at IoU 0.5: {f1:.3}; of Otsu's threshold and connected components: {baseline:.3}");
        let scores = format!(r#"{{"f1": {f1:.4}, "baseline_f1": {baseline:.4}, "#);
        report = report.replacen('{', &scores, 1);
    }
    if json {
        println!("{report}");
    }
    Ok(())
}

/// The baseline: one threshold for the whole volume, each connected piece is a cell.
fn otsu_and_components(volume: &Volume<f32>) -> Result<Array3<u32>, Error> {
    let threshold = otsu(volume.data.view(), OtsuRule::Skimage)?;
    let mask = mask_above(volume.data.view(), threshold);
    Ok(components(mask.view(), Connectivity::TwentySix)?.into_ids())
}

/// Prints how training goes.
struct Report;

impl Observer for Report {
    fn step(&mut self, r: &StepReport) -> ControlFlow<()> {
        if r.step.is_multiple_of(10) || r.step == 1 {
            eprint!(
                "\rstep {:3} of {}: SoftNCuts {:.3}, reconstruction {:6.1} ",
                r.step,
                r.steps,
                r.term("n_cuts"),
                r.term("reconstruction")
            );
        }
        ControlFlow::Continue(())
    }
}
