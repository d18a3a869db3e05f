//! `cellseg info`: what a volume or weight file holds, and without a file what this program computes on.

use super::{Common, Outcome, Result, machine::Machine};
use cellseg::{
    io::{VolumeInfo, Weights, inspect, read_volume},
    models::{WNet3d, network_of},
};
use serde::Serialize;
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

#[derive(clap::Args)]
pub(super) struct Args {
    /// A volume (TIFF or NPY) or weights (safetensors or .pth); without it, the devices of this machine are told
    file: Option<PathBuf>,
    #[command(flatten)]
    pub(super) common: Common,
}

#[derive(Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
enum Report {
    Machine(Machine),
    Volume {
        format: String,
        dtype: &'static str,
        shape: [usize; 3],
        spacing_um: Option<[f64; 3]>,
        minimum: f32,
        maximum: f32,
        mean: f64,
        /// Percentiles 1, 50 and 99.
        percentiles: [f64; 3],
        not_finite: usize,
    },
    Weights {
        tensors: usize,
        parameters: usize,
        network: String,
        metadata: BTreeMap<String, String>,
        shapes: BTreeMap<String, Vec<usize>>,
    },
}

pub(super) fn run(args: Args) -> Result<Outcome> {
    let report = match &args.file {
        None => Report::Machine(Machine::here()?),
        Some(file) => of_file(file)?,
    };
    args.common.report(&report, |out| print(&report, out))?;
    Ok(Outcome::Done)
}

/// What cannot be a volume may be weights; if it is neither, the reason why it is no volume is what helps.
fn of_file(file: &Path) -> Result<Report> {
    match inspect(file) {
        Ok(header) => volume(file, header),
        Err(no_volume) => match Weights::open(file) {
            Ok(w) => Ok(weights(w)),
            Err(no_weights) if names_weights(file) => Err(no_weights.into()),
            Err(_) => Err(no_volume.into()),
        },
    }
}

fn names_weights(path: &Path) -> bool {
    path.extension().is_some_and(|e| ["pth", "pt", "safetensors"].iter().any(|w| e.eq_ignore_ascii_case(w)))
}

fn volume(path: &Path, header: VolumeInfo) -> Result<Report> {
    let volume = read_volume(path)?;
    let mut finite: Vec<f32> = volume.data.iter().copied().filter(|v| v.is_finite()).collect();
    finite.sort_by(f32::total_cmp);
    let at = |p: f64| {
        finite.get((p * finite.len().saturating_sub(1) as f64).round() as usize).copied().unwrap_or(f32::NAN)
    };
    let sum: f64 = finite.iter().map(|&v| f64::from(v)).sum();
    Ok(Report::Volume {
        format: format!("{:?}", header.format),
        dtype: header.dtype.name(),
        shape: header.shape,
        spacing_um: header.spacing.map(|s| s.zyx()),
        minimum: at(0.0),
        maximum: at(1.0),
        mean: sum / finite.len() as f64,
        percentiles: [0.01, 0.5, 0.99].map(|p| f64::from(at(p))),
        not_finite: volume.data.len() - finite.len(),
    })
}

fn weights(file: Weights) -> Report {
    let network = if file.metadata.contains_key("format") {
        "a training checkpoint".to_owned()
    } else {
        match WNet3d::from_state(&file.tensors) {
            Ok(n) => {
                let c = n.config();
                let part = if n.has_decoder() { "" } else { ", encoder only" };
                format!("WNet3D of width {}, {} classes{part}", c.width, c.classes)
            }
            Err(e) => match network_of(&file.tensors, &file.metadata) {
                Ok(n) => format!("{}, channels of its output: {}", n.architecture(), n.class_count()),
                Err(_) => format!("not a network that is known: {e}"),
            },
        }
    };
    Report::Weights {
        tensors: file.tensors.len(),
        parameters: file.tensors.values().map(|t| t.len()).sum(),
        network,
        metadata: file.metadata,
        shapes: file.tensors.iter().map(|(name, t)| (name.clone(), t.shape().to_vec())).collect(),
    }
}

fn print(report: &Report, out: &mut dyn std::io::Write) -> std::io::Result<()> {
    match report {
        Report::Machine(machine) => machine.print(out),
        Report::Volume {
            format,
            dtype,
            shape: [z, y, x],
            spacing_um,
            minimum,
            maximum,
            mean,
            percentiles,
            not_finite,
        } => {
            writeln!(out, "{format} volume of {z} x {y} x {x} voxels (z, y, x), {dtype}")?;
            match spacing_um {
                Some([z, y, x]) => writeln!(out, "voxel spacing: {z}, {y}, {x} um (z, y, x)")?,
                None => {
                    writeln!(out, "voxel spacing: not in the file; give --spacing z,y,x where it matters")?
                }
            }
            writeln!(out, "intensities: {minimum} to {maximum}, mean {mean:.2}")?;
            let [low, median, high] = percentiles;
            writeln!(out, "percentiles 1, 50, 99: {low}, {median}, {high}")?;
            if *not_finite > 0 {
                writeln!(
                    out,
                    "not finite: {not_finite} voxels; they must be replaced before anything is computed"
                )?;
            }
            Ok(())
        }
        Report::Weights { tensors, parameters, network, metadata, shapes } => {
            writeln!(out, "{tensors} tensors, {parameters} numbers: {network}")?;
            for (key, value) in metadata {
                writeln!(out, "{key}: {value}")?;
            }
            shapes.iter().try_for_each(|(name, shape)| writeln!(out, "  {name} {shape:?}"))
        }
    }
}
