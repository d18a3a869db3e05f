//! A SwinUNETR as a network that sorts voxels into classes.

use super::{
    EXTENT_MULTIPLE, SwinUnetr,
    state::{MERGING, NAME},
};
use crate::{Compute, Network, OutputActivation, PassMode, Result};
use cellseg_core::{Device, Tensor};
use std::collections::BTreeMap;

impl Network for SwinUnetr {
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
        self.logits(image, mode)
    }

    fn settings(&self) -> BTreeMap<String, String> {
        BTreeMap::from([(MERGING.to_owned(), self.config.merging.name().to_owned())])
    }

    fn compute(&self) -> Compute {
        self.compute
    }

    fn set_compute(&mut self, compute: Compute) {
        self.compute = compute;
    }

    fn device(&self) -> Device {
        self.swin_vit.device()
    }

    fn boxed(&self) -> Box<dyn Network> {
        Box::new(self.clone())
    }
}
