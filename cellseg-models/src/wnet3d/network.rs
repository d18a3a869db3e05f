//! A WNet3D as a network that sorts voxels into classes: its encoder.

use super::{EXTENT_MULTIPLE, WNet3d, state::NAME};
use crate::{Compute, Network, OutputActivation, PassMode, Result, weights};
use cellseg_core::{Device, Tensor};

impl Network for WNet3d {
    fn architecture(&self) -> &'static str {
        NAME
    }

    fn in_channels(&self) -> usize {
        self.config.in_channels
    }

    fn class_count(&self) -> usize {
        self.config.classes
    }

    fn extent_multiple(&self) -> usize {
        EXTENT_MULTIPLE
    }

    fn activation(&self) -> OutputActivation {
        OutputActivation::Softmax
    }

    fn logits(&self, image: &Tensor, mode: &PassMode) -> Result<Tensor> {
        self.logits(image, mode)
    }

    fn compute(&self) -> Compute {
        self.compute
    }

    fn set_compute(&mut self, compute: Compute) {
        self.compute = compute;
    }

    fn device(&self) -> Device {
        self.encoder.device()
    }

    fn boxed(&self) -> Box<dyn Network> {
        Box::new(self.clone())
    }

    /// The decoder is left out.
    fn prepared(&self, compute: Compute) -> Result<Box<dyn Network>> {
        let mut network = WNet3d { decoder: None, ..self.clone() }.with_compute(compute);
        weights::cast(&mut network, compute.dtype())?;
        Ok(Box::new(network))
    }
}
