//! The settings of training with labels.

use super::{super::course::Course, NetworkConfig};
use crate::{
    Compute, Error, Network, OutputActivation, Result,
    augment::Augmentation,
    infer::{ForegroundClass, Inference, Windows},
    intensity::Normalisation,
    losses::SegmentationLoss,
};
use serde::{Deserialize, Serialize};

/// The settings of training with labels. The default trains a small network on a CPU within minutes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SupervisedConfig {
    /// The network that [`NetworkConfig::build`] makes. The one that is trained must be of this architecture and size: a
    /// checkpoint makes it again from these settings.
    pub network: NetworkConfig,
    /// Seed of the first weights, of the patches and of dropout.
    pub seed: u64,
    /// Steps of the optimiser.
    pub steps: u64,
    /// Patches a step.
    pub batch: usize,
    /// Voxels of a patch `(z, y, x)`, multiples of what the network takes: 8 for the U-Net.
    pub patch: [usize; 3],
    /// The share of the labelled volumes that [`super::hold_out`] keeps back where none are given to validate on. 0 keeps none
    /// back, and the network of the last step is the result.
    pub hold_out: f64,
    /// The share of patches that are placed over a voxel of foreground, before they are bent; the others lie anywhere.
    pub foreground_share: f64,
    /// How patches are changed at random.
    pub augmentation: Augmentation,
    /// How intensities are mapped to 0 to 100.
    pub normalisation: Normalisation,
    /// What is minimised.
    pub loss: SegmentationLoss,
    /// The optimiser's step size (Adam; Kingma & Ba, 2015) at its height.
    pub learning_rate: f64,
    /// Steps in which it rises to its height.
    pub warm_up: u64,
    /// The share of it that is left at the end; it falls along half a cosine. 1 keeps it constant.
    pub final_learning_rate: f64,
    /// Weights shrink by this times the learning rate each step (AdamW; Loshchilov & Hutter, ICLR 2019).
    pub weight_decay: f64,
    /// Gradients are scaled down to this Euclidean norm over all parameters. 0 leaves them as they are.
    pub clip_norm: f64,
    /// Steps between two validations, or between two looks at the mean loss where there is nothing to validate on.
    pub validate_every: u64,
    /// Training stops after this many validations without a better one. 0 never stops early.
    pub patience: u64,
    /// Steps between two checkpoints. 0 makes one at the end only.
    pub checkpoint_every: u64,
    /// The windows of validation, and of inference afterwards.
    pub windows: Windows,
    /// Less memory for a third more time: of each block only the input is kept for the backward pass. The same bits.
    pub recompute: bool,
    /// The type of activations, in training and in its validations. Weights are `f32` in any case.
    pub compute: Compute,
}

impl Default for SupervisedConfig {
    fn default() -> Self {
        SupervisedConfig {
            network: NetworkConfig::default(),
            seed: 0,
            steps: 400,
            batch: 1,
            patch: [32; 3],
            hold_out: 0.2,
            foreground_share: 0.5,
            augmentation: Augmentation::default(),
            normalisation: Normalisation::LOCAL_CONTRAST,
            loss: SegmentationLoss::default(),
            learning_rate: 1e-3,
            warm_up: 20,
            final_learning_rate: 0.05,
            weight_decay: 1e-4,
            clip_norm: 1.0,
            validate_every: 25,
            patience: 0,
            checkpoint_every: 50,
            windows: Windows::default(),
            recompute: false,
            compute: Compute::F32,
        }
    }
}

impl SupervisedConfig {
    /// How a network that was trained so is to be used.
    pub fn inference(&self) -> Inference {
        Inference {
            windows: self.windows,
            normalisation: self.normalisation,
            foreground: ForegroundClass::Last,
            ..Inference::default()
        }
    }

    pub(in super::super) fn course(&self) -> Course {
        Course {
            seed: self.seed,
            steps: self.steps,
            batch: self.batch,
            learning_rate: self.learning_rate,
            rising: self.warm_up,
            final_learning_rate: self.final_learning_rate,
            weight_decay: self.weight_decay,
            clip_norm: self.clip_norm,
            validate_every: self.validate_every,
            patience: self.patience,
            checkpoint_every: self.checkpoint_every,
            recompute: self.recompute,
            compute: self.compute,
        }
    }

    /// Checks the settings that do not depend on the network.
    ///
    /// # Errors
    /// [`Error::Setting`] names the first one out of range.
    pub fn validate(&self) -> Result<()> {
        self.course().validate()?;
        self.augmentation.validate()?;
        self.normalisation.validate()?;
        self.windows.validate()?;
        self.loss.validate()?;
        if !(0.0..=1.0).contains(&self.foreground_share) {
            return Err(Error::setting("foreground_share", self.foreground_share, "a share from 0 to 1"));
        }
        if !(0.0..1.0).contains(&self.hold_out) {
            return Err(Error::setting("hold_out", self.hold_out, "a share from 0 to below 1"));
        }
        Ok(())
    }

    /// [`SupervisedConfig::validate`], and that `network` can be trained so.
    ///
    /// # Errors
    /// [`Error::Setting`] names the first setting out of range.
    pub fn validate_for(&self, network: &dyn Network) -> Result<()> {
        self.validate()?;
        self.inference().validate_for(network)?;
        let multiple = network.extent_multiple();
        if self.patch.iter().any(|&e| e == 0 || !e.is_multiple_of(multiple)) {
            let expected = format!("extents (z, y, x) that are multiples of {multiple}");
            return Err(Error::setting("patch", self.patch, expected));
        }
        if network.in_channels() != 1 {
            return Err(Error::setting("in_channels", network.in_channels(), "1: volumes have one channel"));
        }
        match (network.class_count(), network.activation()) {
            (1, OutputActivation::Sigmoid) | (2, OutputActivation::Softmax) => Ok(()),
            given => {
                let expected = "1 channel with a sigmoid, or 2 with a softmax: foreground and background";
                Err(Error::setting("class_count", given, expected))
            }
        }
    }
}
