//! A network, window by window.

use super::{
    Progress,
    blend::{Blender, Weights, profile},
    settings::Windows,
    tiles::Tiles,
};
use crate::{Error, Result, VolumeView, wnet3d::EXTENT_MULTIPLE};
use cellseg_core::Tensor;
use ndarray::{Array3, Array4};

/// Reads a box that starts at an origin, which may lie outside the volume.
pub(super) type Read<'a> = &'a dyn Fn([isize; 3], [usize; 3], &mut [f32]);

/// A network: `[1, d, h, w, 1]` to `[1, d, h, w, c]`.
pub(super) type Forward<'a> = &'a dyn Fn(&Tensor) -> Result<Tensor>;

/// Any network, from a window `[1, d, h, w, 1]` to `[1, d, h, w, channels]`, over a whole volume: `(c, z, y, x)`. The
/// network is given the volume's own intensities. Beyond the volume windows hold its mirror image, and are cut off.
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
    windows.validate()?;
    if volume.voxels.is_empty() {
        return Err(Error::volume(volume.name, "it holds no voxel; there must be at least one"));
    }
    let read = |origin, extents, out: &mut [f32]| crate::intensity::copy(volume.voxels, origin, extents, out);
    run(volume.extents(), channels, windows, &read, network, progress)
}

/// [`sliding_window`] with any way of reading.
pub(super) fn run(
    extents: [usize; 3],
    channels: usize,
    windows: &Windows,
    read: Read<'_>,
    forward: Forward<'_>,
    progress: &mut dyn Progress,
) -> Result<Array4<f32>> {
    let tiles: [Tiles; 3] = std::array::from_fn(|i| {
        // Shorter along an axis on which the volume is shorter: no arithmetic for what is cut off.
        let window = windows.window[i].min(extents[i].next_multiple_of(EXTENT_MULTIPLE));
        Tiles::new(extents[i], window, windows.overlap)
    });
    let profiles = std::array::from_fn(|i| profile(tiles[i].window, windows.blending));
    blend(channels, &tiles, Weights::Separable(profiles), [0; 3], read, forward, progress)
}

/// All windows of a grid, each put through the network and averaged. `inset` says how many voxels lie before the volume
/// where it is shorter than a window.
pub(super) fn blend(
    channels: usize,
    tiles: &[Tiles; 3],
    weights: Weights,
    inset: [usize; 3],
    read: Read<'_>,
    forward: Forward<'_>,
    progress: &mut dyn Progress,
) -> Result<Array4<f32>> {
    let mut blender = Blender::new(channels, tiles, weights)?;
    let [d, h, w] = [0, 1, 2].map(|i| tiles[i].window);
    let counts = [0, 1, 2].map(|i| tiles[i].starts.len());
    let total: usize = counts.iter().product();
    for n in 0..total {
        let index = [n / (counts[1] * counts[2]), n / counts[2] % counts[1], n % counts[2]];
        let origin = std::array::from_fn(|i| tiles[i].starts[index[i]] as isize - inset[i] as isize);
        let x = Tensor::build(&[1, d, h, w, 1], |out: &mut [f32]| {
            read(origin, [d, h, w], out);
            Ok(())
        })?;
        let y = forward(&x)?;
        let expected = [1, d, h, w, channels];
        if y.shape().dims() != expected {
            let why = format!("the network made {:?} of a window where {expected:?} is expected", y.shape());
            return Err(cellseg_core::Error::argument("sliding_window", why).into());
        }
        let y = y.to(&cellseg_core::Device::Cpu)?;
        let output = y.as_slice::<f32>()?;
        if output.iter().any(|v| !v.is_finite()) {
            return Err(Error::setting("weights", "some that give no finite numbers", "undamaged weights"));
        }
        blender.add(index, inset, output);
        if progress.windows(n + 1, total).is_break() && n + 1 < total {
            return Err(Error::Cancelled);
        }
    }
    Ok(blender.finish())
}

/// Weights that are given voxel by voxel, for a volume of these tiles.
pub(super) fn explicit(window: Array3<f32>, tiles: &[Tiles; 3]) -> Weights {
    let extents: [usize; 3] = std::array::from_fn(|i| tiles[i].extent);
    Weights::Any { window, sum: Array3::zeros(extents) }
}
