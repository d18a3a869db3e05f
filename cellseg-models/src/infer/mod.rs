//! From a volume of any size to a map of each class: windows, blended.
//!
//! A network sees a window at a time; where windows overlap their outputs are averaged with weights that fall towards a
//! window's faces, where a network sees the least. Windows lie on one grid, anchored at the volume's first voxel, and are
//! added up in one order, so the result has the same bits whatever the number of threads. Memory is one window's
//! activations and the maps themselves; the average is kept as a running mean, so that no volume of weights is needed,
//! and equal outputs average to themselves exactly.

mod blend;
mod compat;
mod foreground;
mod settings;
mod staged;
mod tiles;
mod windows;

pub use blend::importance_map;
pub use foreground::ClassMaps;
pub use settings::{Blending, Compat, ForegroundClass, Inference, Output, Windows};
pub use windows::{sliding_window, sliding_window_on};

use crate::{Error, Network, PassMode, Result, VolumeView};
use std::ops::ControlFlow;
use windows::Job;

/// Hears how far inference is, and may stop it.
pub trait Progress {
    /// Called after each window. Return [`ControlFlow::Break`] to stop.
    fn windows(&mut self, done: usize, total: usize) -> ControlFlow<()>;
}

/// Listens to nothing.
impl Progress for () {
    fn windows(&mut self, _: usize, _: usize) -> ControlFlow<()> {
        ControlFlow::Continue(())
    }
}

/// A map of each class of `volume`, computed where the network lies.
///
/// # Errors
/// [`Error::Volume`] for a volume with nothing in it, [`Error::Setting`] for windows that the network cannot take,
/// [`Error::Cancelled`] where `progress` stopped it, and those of the network.
pub fn class_maps(
    network: &dyn Network,
    volume: &VolumeView<'_>,
    settings: &Inference,
    progress: &mut dyn Progress,
) -> Result<ClassMaps> {
    settings.validate_for(network)?;
    if network.in_channels() != 1 {
        let expected = "a network for images of one channel";
        return Err(Error::setting("in_channels", network.in_channels(), expected));
    }
    let intensity = volume.fit(&settings.normalisation)?;
    let network = &*network.prepared(settings.compute)?;
    let mode = PassMode::default();
    let (maps, output) = match settings.compat {
        Compat::None => {
            let read = |origin, extents, out: &mut [f32]| intensity.read(volume.voxels, origin, extents, out);
            let forward = |x: &_| match settings.output {
                Output::Probabilities => network.probabilities(x, &mode),
                Output::Logits => network.logits(x, &mode),
            };
            let job = Job {
                device: &network.device(),
                channels: network.class_count(),
                multiple: network.extent_multiple(),
                read: &read,
                forward: &forward,
            };
            (job.run(volume.extents(), &settings.windows, progress)?, settings.output)
        }
        Compat::CellSeg3D => {
            let maps = compat::run(network, volume.voxels, settings.windows.window, progress)?;
            (maps, Output::Probabilities)
        }
    };
    let logits_of = (output == Output::Logits).then(|| network.activation());
    Ok(ClassMaps::new(maps, volume.voxels, &intensity, logits_of).with_foreground(settings.foreground))
}
