//! A network, window by window.

use super::{
    Progress,
    blend::{Blender, Weights, profile},
    settings::Windows,
    staged,
    tiles::Tiles,
};
use crate::{Error, Result, VolumeView, wnet3d::EXTENT_MULTIPLE};
use cellseg_core::{Device, Tensor};
use ndarray::{Array3, Array4};

/// Reads a box that starts at an origin, which may lie outside the volume.
pub(super) type Read<'a> = &'a dyn Fn([isize; 3], [usize; 3], &mut [f32]);

/// A network: `[1, d, h, w, 1]` to `[1, d, h, w, c]`.
pub(super) type Forward<'a> = &'a dyn Fn(&Tensor) -> Result<Tensor>;

/// Any network, from a window `[1, d, h, w, 1]` to `[1, d, h, w, channels]`, over a whole volume: `(c, z, y, x)`. The
/// network is given the volume's own intensities, in windows whose extents are multiples of 8 along axes on which the
/// volume is shorter than a window. Beyond the volume windows hold its mirror image, and are cut off.
///
/// # Errors
/// [`Error::Setting`] for windows out of range, [`Error::Volume`] for a volume without voxels, [`Error::Cancelled`] where
/// `progress` stopped it, and whatever `network` returns.
pub fn sliding_window(
    volume: &VolumeView<'_>,
    channels: usize,
    windows: &Windows,
    network: &dyn Fn(&Tensor) -> Result<Tensor>,
    progress: &mut dyn Progress,
) -> Result<Array4<f32>> {
    sliding_window_on(&Device::Cpu, volume, channels, EXTENT_MULTIPLE, windows, network, progress)
}

/// [`sliding_window`] for a network that takes windows on `device`, of extents that are multiples of `multiple`. On a GPU one window is computed while the next is read
/// and copied there, and the last is copied back and averaged.
///
/// # Errors
/// Those of [`sliding_window`].
pub fn sliding_window_on(
    device: &Device,
    volume: &VolumeView<'_>,
    channels: usize,
    multiple: usize,
    windows: &Windows,
    network: &dyn Fn(&Tensor) -> Result<Tensor>,
    progress: &mut dyn Progress,
) -> Result<Array4<f32>> {
    windows.validate()?;
    if multiple == 0 {
        return Err(Error::setting("multiple", multiple, "at least 1"));
    }
    if volume.voxels.is_empty() {
        return Err(Error::volume(volume.name, "it holds no voxel; there must be at least one"));
    }
    let read = |origin, extents, out: &mut [f32]| crate::intensity::copy(volume.voxels, origin, extents, out);
    Job { device, channels, multiple, read: &read, forward: network }.run(volume.extents(), windows, progress)
}

/// What is done with each window.
pub(super) struct Job<'a> {
    /// Where the network takes windows.
    pub(super) device: &'a Device,
    /// Channels of its output.
    pub(super) channels: usize,
    /// What extents of its input are multiples of.
    pub(super) multiple: usize,
    /// How a window is filled.
    pub(super) read: Read<'a>,
    /// The network.
    pub(super) forward: Forward<'a>,
}

impl Job<'_> {
    /// A volume of these extents.
    pub(super) fn run(
        &self,
        extents: [usize; 3],
        windows: &Windows,
        progress: &mut dyn Progress,
    ) -> Result<Array4<f32>> {
        let tiles: [Tiles; 3] = std::array::from_fn(|i| {
            // Shorter along an axis on which the volume is shorter: no arithmetic for what is cut off.
            let window = windows.window[i].min(extents[i].next_multiple_of(self.multiple));
            Tiles::new(extents[i], window, windows.overlap)
        });
        let profiles = std::array::from_fn(|i| profile(tiles[i].window, windows.blending));
        self.blend(&tiles, Weights::Separable(profiles), [0; 3], progress)
    }

    /// All windows of a grid, each put through the network and averaged. `inset` says how many voxels lie before the
    /// volume where it is shorter than a window.
    pub(super) fn blend(
        &self,
        tiles: &[Tiles; 3],
        weights: Weights,
        inset: [usize; 3],
        progress: &mut dyn Progress,
    ) -> Result<Array4<f32>> {
        let blender = Blender::new(self.channels, tiles, weights)?;
        let mut walk = Walk { job: self, tiles, inset, blender, progress };
        match self.device {
            Device::Cpu => walk.one_by_one()?,
            Device::Cuda(gpu) => staged::run(&mut walk, gpu)?,
        }
        Ok(walk.blender.finish())
    }
}

/// The way over the windows of a grid, the last axis fastest.
pub(super) struct Walk<'a> {
    job: &'a Job<'a>,
    tiles: &'a [Tiles; 3],
    inset: [usize; 3],
    blender: Blender<'a>,
    progress: &'a mut dyn Progress,
}

impl Walk<'_> {
    fn one_by_one(&mut self) -> Result<()> {
        for n in 0..self.count() {
            let x = Tensor::build(&self.input(), |out: &mut [f32]| {
                self.read(n, out);
                Ok(())
            })?;
            let y = self.forward(&x)?.to(&Device::Cpu)?;
            self.take(n, y.as_slice()?)?;
        }
        Ok(())
    }

    /// How many windows there are.
    pub(super) fn count(&self) -> usize {
        self.tiles.iter().map(|t| t.starts.len()).product()
    }

    /// The shape of a window.
    pub(super) fn input(&self) -> [usize; 5] {
        let [d, h, w] = [0, 1, 2].map(|i| self.tiles[i].window);
        [1, d, h, w, 1]
    }

    /// The shape of what the network makes of it.
    pub(super) fn output(&self) -> [usize; 5] {
        let [n, d, h, w, _] = self.input();
        [n, d, h, w, self.job.channels]
    }

    fn index(&self, n: usize) -> [usize; 3] {
        let counts = [0, 1, 2].map(|i| self.tiles[i].starts.len());
        [n / (counts[1] * counts[2]), n / counts[2] % counts[1], n % counts[2]]
    }

    /// Fills window number `n`.
    pub(super) fn read(&self, n: usize, out: &mut [f32]) {
        let index = self.index(n);
        let origin =
            std::array::from_fn(|i| self.tiles[i].starts[index[i]] as isize - self.inset[i] as isize);
        let [_, d, h, w, _] = self.input();
        (self.job.read)(origin, [d, h, w], out);
    }

    /// Puts a window through the network.
    pub(super) fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let (y, expected) = ((self.job.forward)(x)?, self.output());
        if y.shape().dims() != expected {
            let why = format!("the network made {:?} of a window where {expected:?} is expected", y.shape());
            return Err(cellseg_core::Error::argument("sliding_window", why).into());
        }
        Ok(y)
    }

    /// Averages what the network made of window number `n`. Windows are taken in the order of their numbers.
    pub(super) fn take(&mut self, n: usize, output: &[f32]) -> Result<()> {
        if output.iter().any(|v| !v.is_finite()) {
            return Err(Error::setting("weights", "some that give no finite numbers", "undamaged weights"));
        }
        self.blender.add(self.index(n), self.inset, output);
        if self.progress.windows(n + 1, self.count()).is_break() && n + 1 < self.count() {
            return Err(Error::Cancelled);
        }
        Ok(())
    }
}

/// Weights that are given voxel by voxel, for a volume of these tiles.
pub(super) fn explicit(window: Array3<f32>, tiles: &[Tiles; 3]) -> Weights {
    let extents: [usize; 3] = std::array::from_fn(|i| tiles[i].extent);
    Weights::Any { window, sum: Array3::zeros(extents) }
}
