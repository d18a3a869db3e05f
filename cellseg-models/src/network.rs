//! What inference and training ask of a network.

use crate::{Compute, Result, layers::Module, weights};
use cellseg_core::{Device, Tensor};
use cellseg_kernels::{pointwise::sigmoid, softmax::softmax};
use std::{collections::BTreeMap, fmt};

/// A network that sorts voxels into classes.
///
/// Weights are read and replaced through [`Module`], the trait that this one extends: see [`crate::weights`].
pub trait Network: Module + fmt::Debug + Send + Sync {
    /// The name of the architecture, as [`weights::recognise`] gives it.
    fn architecture(&self) -> &'static str;

    /// Channels of the image.
    fn in_channels(&self) -> usize;

    /// Classes, each of which is a channel of the output.
    fn class_count(&self) -> usize;

    /// Extents of an input are multiples of this.
    fn extent_multiple(&self) -> usize;

    /// What makes probabilities of the output.
    fn activation(&self) -> OutputActivation;

    /// The output before its activation, in `f32`: `[n, d, h, w, in_channels]` to `[n, d, h, w, classes]`.
    ///
    /// # Errors
    /// Extents that are no multiples of [`Network::extent_multiple`], another number of channels, memory.
    fn logits(&self, image: &Tensor, mode: &PassMode) -> Result<Tensor>;

    /// The same in training: where there are batch normalisations they use the statistics of the batch, which the running
    /// ones follow.
    ///
    /// # Errors
    /// As for [`Network::logits`].
    fn training_logits(&mut self, image: &Tensor, mode: &PassMode) -> Result<Tensor> {
        self.logits(image, mode)
    }

    /// The probabilities that the output stands for: [`Network::logits`] through [`Network::activation`].
    ///
    /// # Errors
    /// As for [`Network::logits`].
    fn probabilities(&self, image: &Tensor, mode: &PassMode) -> Result<Tensor> {
        self.activation().of(self.logits(image, mode)?)
    }

    /// The probability from which a voxel is foreground, as validation takes it: half where a sigmoid gives it. A softmax
    /// has none, as the classes of a network that was trained without labels have no meaning.
    fn threshold(&self) -> Option<f32> {
        (self.activation() == OutputActivation::Sigmoid).then_some(0.5)
    }

    /// What the weights do not tell of the network, by name: for a file of weights to say beside them.
    fn settings(&self) -> BTreeMap<String, String> {
        BTreeMap::new()
    }

    /// The type of the activations.
    fn compute(&self) -> Compute;

    /// Changes the type of the activations. Weights keep theirs, and layers convert them where they use them.
    fn set_compute(&mut self, compute: Compute);

    /// The device that holds the weights. Inputs must lie there.
    fn device(&self) -> Device;

    /// Moves the weights to a device.
    ///
    /// # Errors
    /// Memory that could not be had.
    fn move_to(&mut self, device: &Device) -> Result<()> {
        weights::change(self, |w| w.to(device))
    }

    /// A copy, which shares the weights' memory until one of the two is changed.
    fn boxed(&self) -> Box<dyn Network>;

    /// A copy for inference: what [`Network::logits`] needs, with the weights in the type of `compute`, so that no pass
    /// converts them again.
    ///
    /// # Errors
    /// Memory that could not be had.
    fn prepared(&self, compute: Compute) -> Result<Box<dyn Network>> {
        let mut network = self.boxed();
        network.set_compute(compute);
        weights::cast(&mut *network, compute.dtype())?;
        Ok(network)
    }
}

impl<N: Network + 'static> From<N> for Box<dyn Network> {
    fn from(network: N) -> Self {
        Box::new(network)
    }
}

impl Clone for Box<dyn Network> {
    fn clone(&self) -> Self {
        self.boxed()
    }
}

/// What makes probabilities of a network's output.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OutputActivation {
    /// Each voxel is of one class: the softmax over the channels.
    Softmax,
    /// A voxel may be of any number of classes: the logistic function of each channel on its own.
    Sigmoid,
}

impl OutputActivation {
    /// The probabilities of logits `[.., classes]`.
    ///
    /// # Errors
    /// Memory that could not be had.
    pub fn of(self, logits: Tensor) -> Result<Tensor> {
        Ok(match self {
            OutputActivation::Softmax => softmax(logits)?,
            OutputActivation::Sigmoid => sigmoid(logits)?,
        })
    }

    /// The same for the logits of one voxel, in place.
    pub(crate) fn of_voxel(self, xs: &mut [f64]) {
        match self {
            OutputActivation::Sigmoid => xs.iter_mut().for_each(|x| *x = 1.0 / (1.0 + (-*x).exp())),
            OutputActivation::Softmax => {
                let highest = xs.iter().copied().fold(f64::NEG_INFINITY, f64::max);
                xs.iter_mut().for_each(|x| *x = (*x - highest).exp());
                let sum: f64 = xs.iter().sum();
                xs.iter_mut().for_each(|x| *x /= sum);
            }
        }
    }
}

/// How one forward pass is run. The default is inference.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct PassMode {
    /// The key of all dropout masks of this pass; no dropout where it is absent. The masks depend on the key, the layer
    /// and the voxel only.
    pub dropout_key: Option<u64>,
    /// Keeps only each block's input for the backward pass and computes the rest again: less memory, a third more time,
    /// the same bits.
    pub checkpoint: bool,
}
