//! Cutting volumes and changing their spacing.

use super::{Done, Files, lengths, read_image, read_labels, with_voxels};
use crate::cli::{Common, Outcome, Result, files, interrupt, settings::Settings};
use cellseg::{
    Error,
    io::{self, VolumeReader},
    post::{self, resample, resample_labels},
};
use serde::Serialize;
use std::{ops::Range, path::PathBuf};

#[derive(clap::Args)]
pub(super) struct Crop {
    #[command(flatten)]
    files: Files,
    /// The first voxel of the box
    #[arg(long, value_name = "Z,Y,X", value_parser = files::shape)]
    start: [usize; 3],
    /// The lengths of the box in voxels
    #[arg(long, value_name = "Z,Y,X", value_parser = files::shape)]
    size: [usize; 3],
    #[command(flatten)]
    pub(super) common: Common,
}

impl Crop {
    pub(super) fn run(self) -> Result<Outcome> {
        self.files.refuse_existing(&self.common)?;
        let volume = VolumeReader::open(&self.files.input)?;
        let part = volume.part(std::array::from_fn(|axis| {
            self.start[axis]..self.start[axis].saturating_add(self.size[axis])
        }))?;
        part.write(&self.files.output, self.common.overwrite())?;
        Done { output: self.files.output, shape: part.shape(), objects: None }.report(&self.common)
    }
}

#[derive(clap::Args)]
pub(super) struct Fragment {
    /// A volume (z, y, x): TIFF or NPY
    input: PathBuf,
    /// The folder for the cubes; each is named after the volume and its first voxel
    #[arg(short, long, value_name = "FOLDER")]
    output: PathBuf,
    /// The voxels of a cube along each axis; the last ones are shorter where the volume ends
    #[arg(long, value_name = "VOXELS", default_value = "64")]
    side: std::num::NonZeroUsize,
    #[command(flatten)]
    pub(super) common: Common,
}

#[derive(Serialize)]
struct Fragments {
    folder: PathBuf,
    files: Vec<PathBuf>,
}

impl Fragment {
    pub(super) fn run(self) -> Result<Outcome> {
        let volume = VolumeReader::open(&self.input)?;
        let [depth, height, width] = volume.info().shape;
        let cubes = cubes([depth, height, width], self.side.get());
        let paths: Vec<PathBuf> = cubes
            .iter()
            .map(|[z, y, x]| {
                let suffix = format!("_z{:04}_y{:04}_x{:04}.tif", z.start, y.start, x.start);
                files::beside(&self.output, &self.input, &suffix)
            })
            .collect();
        files::make_folder(&self.output)?;
        self.common.refuse_existing(paths.iter().map(PathBuf::as_path))?;
        // All cubes of the same planes at once: most files are read fastest by whole planes.
        let mut rest = paths.iter();
        for layer in cubes.chunk_by(|a, b| a[0] == b[0]) {
            let planes = layer[0][0].clone();
            let slab = volume.part([planes.clone(), 0..height, 0..width])?;
            for ([_, y, x], path) in layer.iter().zip(&mut rest) {
                interrupt::keep_on()?;
                let cube = slab.part([0..planes.len(), y.clone(), x.clone()])?;
                cube.write(path, self.common.overwrite())?;
            }
        }
        let report = Fragments { folder: self.output, files: paths };
        self.common.report(&report, |out| {
            writeln!(out, "{} cubes: {}", report.files.len(), report.folder.display())
        })?;
        Ok(Outcome::Done)
    }
}

/// Cubes of `side` voxels that cover a volume once, in raster order; shorter at its ends.
fn cubes(shape: [usize; 3], side: usize) -> Vec<[Range<usize>; 3]> {
    let along = |len: usize| (0..len).step_by(side).map(move |start| start..(start + side).min(len));
    let mut cubes = Vec::new();
    for z in along(shape[0]) {
        for y in along(shape[1]) {
            cubes.extend(along(shape[2]).map(|x| [z.clone(), y.clone(), x]));
        }
    }
    cubes
}

#[derive(clap::Args)]
pub(super) struct Resample {
    #[command(flatten)]
    files: Files,
    /// The new voxel spacing in micrometres; by default the finest of the three along all axes
    #[arg(long, value_name = "Z,Y,X")]
    to: Option<io::Spacing>,
    /// The volume holds labels: no values between them are made
    #[arg(long)]
    labels: bool,
    #[command(flatten)]
    settings: Settings,
    #[command(flatten)]
    pub(super) common: Common,
}

impl Resample {
    pub(super) fn run(self) -> Result<Outcome> {
        let Self { files, common, settings, .. } = &self;
        files.refuse_existing(common)?;
        let shape = if self.labels {
            let ids = read_labels(&files.input, settings)?;
            let (from, to) = self.spacings(lengths(ids.spacing, &files.input)?)?;
            let resampled = with_voxels(&ids, resample_labels(ids.data.view(), from, to)?);
            io::write_labels(&files.output, &with_spacing(resampled, to)?, common.overwrite())?;
            post::resampled_shape(ids.shape(), from, to)?
        } else {
            let image = read_image(&files.input, settings)?;
            let (from, to) = self.spacings(lengths(image.spacing, &files.input)?)?;
            let resampled = with_voxels(&image, resample(image.data.view(), from, to)?);
            io::write_volume(&files.output, &with_spacing(resampled, to)?, common.overwrite())?;
            post::resampled_shape(image.shape(), from, to)?
        };
        Done { output: files.output.clone(), shape, objects: None }.report(common)
    }

    fn spacings(&self, from: post::Spacing) -> Result<(post::Spacing, post::Spacing)> {
        let finest = from.finest();
        let [z, y, x] = self.to.map_or([finest; 3], io::Spacing::zyx);
        let to = post::Spacing::new(z, y, x)?;
        if from == to {
            return Err(Error::usage(format!(
                "{} has a spacing of {z},{y},{x} already; give another one with --to, or what it is now with \
                 --spacing",
                self.files.input.display()
            )));
        }
        Ok((from, to))
    }
}

fn with_spacing<T>(volume: io::Volume<T>, spacing: post::Spacing) -> Result<io::Volume<T>> {
    Ok(volume.with_spacing(io::Spacing::new(spacing.to_array())?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cubes_cover_every_voxel_once() {
        for (shape, side) in [([5, 7, 3], 3), ([4, 4, 4], 4), ([1, 9, 2], 100)] {
            let mut covered = ndarray::Array3::<u8>::zeros(shape);
            for [z, y, x] in cubes(shape, side) {
                covered.slice_mut(ndarray::s![z, y, x]).map_inplace(|times| *times += 1);
            }
            assert!(covered.iter().all(|&times| times == 1), "{shape:?} by {side}");
        }
    }
}
