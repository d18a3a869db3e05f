//! A TRAILMAP network as a network that sorts voxels into classes.

use super::{LEAST_EXTENT, Trailmap, state::NAME};
use crate::{Compute, Network, OutputActivation, PassMode, Result, layers::Gathering};
use cellseg_core::{Device, Tensor};

impl Network for Trailmap {
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
        LEAST_EXTENT
    }

    fn activation(&self) -> OutputActivation {
        OutputActivation::Sigmoid
    }

    fn logits(&self, image: &Tensor, mode: &PassMode) -> Result<Tensor> {
        self.forward(image, mode, None)
    }

    fn training_logits(&mut self, image: &Tensor, mode: &PassMode) -> Result<Tensor> {
        Gathering::training_pass(self, |network, gathering| network.forward(image, mode, Some(gathering)))
    }

    fn compute(&self) -> Compute {
        self.compute
    }

    fn set_compute(&mut self, compute: Compute) {
        self.compute = compute;
    }

    fn device(&self) -> Device {
        self.final_conv.device()
    }

    fn boxed(&self) -> Box<dyn Network> {
        Box::new(self.clone())
    }
}
