//! A SegResNet as a network that sorts voxels into classes.

use super::{EXTENT_MULTIPLE, SegResNet, state::NAME};
use crate::{Compute, Network, OutputActivation, PassMode, Result};
use cellseg_core::{Device, Tensor};

impl Network for SegResNet {
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
        OutputActivation::Sigmoid
    }

    fn logits(&self, image: &Tensor, mode: &PassMode) -> Result<Tensor> {
        self.forward(image, mode)
    }

    fn compute(&self) -> Compute {
        self.compute
    }

    fn set_compute(&mut self, compute: Compute) {
        self.compute = compute;
    }

    fn device(&self) -> Device {
        self.conv_final.device()
    }

    fn boxed(&self) -> Box<dyn Network> {
        Box::new(self.clone())
    }
}
