//! WNet3D: two U-Nets that learn to segment without labels.
//!
//! The encoder sorts each voxel into one of `K` classes; the decoder must paint the image again from the classes alone.
//! What the encoder is asked for is classes that are uniform and compact ([`crate::train`]), and classes that say enough
//! about the image for the decoder to work with. The network is that of CellSeg3D (Achard et al., eLife 2025), after
//! the 2D W-Net of Xia & Kulis (2017); parameter names are those of its state dict, 84 tensors for each U-Net.

mod block;
mod config;
mod network;
mod state;
mod unet;

pub use crate::PassMode;
pub use config::WNet3dConfig;
pub use unet::{EXTENT_MULTIPLE, UNet};

use crate::{Compute, Error, Result, compute::widened, layers::module, weights};
use cellseg_core::{Device, Rng, Tensor};
use cellseg_kernels::softmax::softmax;

/// The two U-Nets. A network that is only used for inference may lack the decoder.
#[derive(Debug, Clone)]
pub struct WNet3d {
    config: WNet3dConfig,
    compute: Compute,
    encoder: UNet,
    decoder: Option<UNet>,
}

module!(WNet3d { "encoder" => encoder, "decoder" => decoder });

impl WNet3d {
    /// A network with random weights: the same for the same seed.
    ///
    /// # Errors
    /// [`Error::Setting`] where `config` is out of range, or memory that could not be had.
    pub fn new(config: &WNet3dConfig, seed: u64) -> Result<Self> {
        let encoder = Self::encoder_only(config, seed)?;
        let mut rng = Rng::new(seed).stream(1);
        let dims = [config.classes, config.width, config.out_channels];
        let decoder = UNet::new(dims, config.dropout, 1, &mut rng)?;
        Ok(WNet3d { decoder: Some(decoder), ..encoder })
    }

    /// The first U-Net of [`WNet3d::new`] alone, which is all that inference needs.
    ///
    /// # Errors
    /// As for [`WNet3d::new`].
    pub fn encoder_only(config: &WNet3dConfig, seed: u64) -> Result<Self> {
        config.validate()?;
        let mut rng = Rng::new(seed).stream(0);
        let dims = [config.in_channels, config.width, config.classes];
        let encoder = UNet::new(dims, config.dropout, 0, &mut rng)?;
        Ok(WNet3d { config: config.clone(), compute: Compute::F32, encoder, decoder: None })
    }

    /// The sizes.
    pub fn config(&self) -> &WNet3dConfig {
        &self.config
    }

    /// Whether there is a decoder.
    pub fn has_decoder(&self) -> bool {
        self.decoder.is_some()
    }

    /// The same network with activations of another type. Weights keep theirs, and layers convert them where they use
    /// them; inputs and outputs of the network are `f32` in any case.
    pub fn with_compute(self, compute: Compute) -> Self {
        WNet3d { compute, ..self }
    }

    /// The type of the activations.
    pub fn compute(&self) -> Compute {
        self.compute
    }

    /// Moves the weights to a device. Inputs must lie where the weights do.
    ///
    /// # Errors
    /// Memory that could not be had.
    pub fn to(mut self, device: &Device) -> Result<Self> {
        weights::change(&mut self, |w| w.to(device))?;
        Ok(self)
    }

    /// The device that holds the weights.
    pub fn device(&self) -> Device {
        self.encoder.device()
    }

    /// The encoder's output before the softmax: `[n, d, h, w, in_channels]` to `[n, d, h, w, classes]`.
    ///
    /// # Errors
    /// Extents that are no multiples of [`EXTENT_MULTIPLE`], another number of channels, memory.
    pub fn logits(&self, image: &Tensor, mode: &PassMode) -> Result<Tensor> {
        Ok(widened(self.encoder.forward(&image.cast(self.compute.dtype())?, mode)?)?)
    }

    /// How probable each class is in each voxel: the softmax of [`WNet3d::logits`].
    ///
    /// # Errors
    /// As for [`WNet3d::logits`].
    pub fn classes(&self, image: &Tensor, mode: &PassMode) -> Result<Tensor> {
        Ok(softmax(self.logits(image, mode)?)?)
    }

    /// The image that the decoder makes of `classes`: `[n, d, h, w, classes]` to `[n, d, h, w, out_channels]`.
    ///
    /// # Errors
    /// As for [`WNet3d::logits`]; [`Error::Setting`] where there is no decoder.
    pub fn reconstruction(&self, classes: &Tensor, mode: &PassMode) -> Result<Tensor> {
        let decoder = self.decoder.as_ref().ok_or_else(|| {
            Error::setting(
                "weights",
                "an encoder without a decoder",
                "weights with `decoder.*` tensors, as training writes them",
            )
        })?;
        Ok(widened(decoder.forward(&classes.cast(self.compute.dtype())?, mode)?)?)
    }
}
