//! `cellseg evaluate`: predicted labels against true ones.

use super::{Common, Outcome, Result};
use cellseg::{Evaluation, Score, io::read_labels};
use std::{io::Write, path::PathBuf};

#[derive(clap::Args)]
pub(super) struct Args {
    /// True labels (z, y, x): TIFF or NPY, 0 is background
    #[arg(long, value_name = "FILE")]
    truth: PathBuf,
    /// Predicted labels of the same shape
    #[arg(long, value_name = "FILE")]
    prediction: PathBuf,
    #[command(flatten)]
    pub(super) common: Common,
}

pub(super) fn run(args: Args) -> Result<Outcome> {
    let truth = read_labels(&args.truth)?;
    let prediction = read_labels(&args.prediction)?;
    let evaluation = Evaluation::of(truth.data.view(), prediction.data.view())?;
    args.common.report(&evaluation, |out| print(&evaluation, out))?;
    Ok(Outcome::Done)
}

fn print(e: &Evaluation, out: &mut dyn Write) -> std::io::Result<()> {
    writeln!(out, "cells: {} true, {} predicted", e.true_cells, e.predicted_cells)?;
    writeln!(out, "foreground: Dice {:.4}, IoU {:.4}", e.dice, e.foreground_iou)?;
    table("whole 3D cells", &e.cells, out)?;
    table("planes along z, summed (the CellSeg3D paper's way of counting)", &e.slices, out)
}

fn table(title: &str, scores: &[Score], out: &mut dyn Write) -> std::io::Result<()> {
    writeln!(out, "\n{title}")?;
    writeln!(out, " IoU      F1  precision  recall      AP      PQ     TP     FP     FN")?;
    for s in scores {
        writeln!(
            out,
            "{:4.1}  {:6.4}     {:6.4}  {:6.4}  {:6.4}  {:6.4}  {:5}  {:5}  {:5}",
            s.iou,
            s.f1,
            s.precision,
            s.recall,
            s.average_precision,
            s.panoptic_quality,
            s.true_positives,
            s.false_positives,
            s.false_negatives
        )?;
    }
    Ok(())
}
