//! The settings of self-supervised training.

use super::course::{Course, not_negative, positive};
use crate::{
    Compute, Error, Result,
    infer::{Inference, Windows},
    intensity::Normalisation,
    wnet3d::{EXTENT_MULTIPLE, WNet3dConfig},
};
use cellseg_kernels::soft_ncuts::{Form, SoftNCuts};
use serde::{Deserialize, Serialize};

/// The settings of self-supervised training. The default trains a small network on a CPU within minutes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TrainConfig {
    /// The network's size.
    pub network: WNet3dConfig,
    /// Seed of the first weights, of the patches and of dropout.
    pub seed: u64,
    /// Steps of the optimiser.
    pub steps: u64,
    /// Patches a step.
    pub batch: usize,
    /// Voxels of a patch `(z, y, x)`, multiples of 8.
    pub patch: [usize; 3],
    /// Whether patches are flipped along each axis at random.
    pub flips: bool,
    /// Whether patches are turned by 90 degrees at random, about those axes only whose other two have one spacing.
    pub rotations: bool,
    /// How intensities are mapped to 0 to 100.
    pub normalisation: Normalisation,
    /// Whether each patch is normalised on its own, as CellSeg3D does, and not its whole volume.
    pub normalise_patches: bool,
    /// What the classes are judged by.
    pub n_cuts: NCuts,
    /// The weight of that judgement.
    pub n_cuts_weight: f64,
    /// How the reconstruction is judged.
    pub reconstruction: Reconstruction,
    /// The weight of that judgement.
    pub balance: Balance,
    /// What the decoder's output is multiplied by before it is compared with the image from 0 to 100. With 100 the
    /// decoder paints from 0 to 1, which its weights reach within tens of steps of the default learning rate; with 1, as
    /// in CellSeg3D, the last bias alone needs thousands.
    pub decoder_gain: f64,
    /// Steps at the start in which the classes are also asked to be ordered by brightness, with a weight that falls from 2
    /// to 0. SoftNCuts is content with any compact classes, halves of the volume among them; this starts it among classes
    /// that follow the stain. 0 does without, as CellSeg3D does.
    pub warm_up: u64,
    /// The optimiser's step size (Adam; Kingma & Ba, 2015) at the start.
    pub learning_rate: f64,
    /// The share of it that is left at the end; it falls along half a cosine. 1 keeps it constant.
    pub final_learning_rate: f64,
    /// Weights shrink by this times the learning rate each step.
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
    /// The type of activations, in training and in its validations. Weights are `f32` in any case, and so is the network
    /// that comes out: how it computes when it is used is [`Inference::compute`].
    pub compute: Compute,
}

/// What the classes are judged by: the settings of SoftNCuts on intensities from 0 to 100.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct NCuts {
    /// Which of the two published forms.
    pub form: NCutsForm,
    /// How different in intensity voxels of one class may be. In [`NCutsForm::Approximate`] the scale is quartic: voxels
    /// within about the square root of it from the class's mean count fully.
    pub sigma_intensity: f64,
    /// How fast the weight of a neighbour falls with its distance in voxels.
    pub sigma_space: f64,
    /// How far neighbours are looked at, in voxels.
    pub radius: usize,
}

/// Which of the two published forms of SoftNCuts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NCutsForm {
    /// Voxels are compared with their class's mean: what CellSeg3D trains with.
    Approximate,
    /// Voxels are compared in pairs: what Xia & Kulis (2017) write.
    Exact,
}

/// How the reconstruction is judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reconstruction {
    /// By the mean squared error against the image from 0 to 100.
    Mse,
    /// By the binary cross entropy of its sigmoid against the image from 0 to 1.
    Bce,
}

/// The weight of the reconstruction beside the classes.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Balance {
    /// The reconstruction's loss is divided by what the best reconstruction of a single grey would cost, the patch's
    /// variance for [`Reconstruction::Mse`]. So it is the share of the image that is left unexplained, a number from 0
    /// to about 1 for any contrast, of the same size as SoftNCuts, and `share` weighs the two.
    Auto {
        /// Weight of the unexplained share.
        share: f64,
    },
    /// A plain factor, as in CellSeg3D (0.005 with MSE in the paper).
    Fixed {
        /// The factor.
        weight: f64,
    },
}

impl Default for NCuts {
    fn default() -> Self {
        NCuts { form: NCutsForm::Approximate, sigma_intensity: 100.0, sigma_space: 4.0, radius: 2 }
    }
}

impl NCuts {
    pub(super) fn settings(&self) -> SoftNCuts {
        SoftNCuts {
            form: match self.form {
                NCutsForm::Approximate => Form::Approximate,
                NCutsForm::Exact => Form::Exact,
            },
            sigma_intensity: self.sigma_intensity,
            sigma_space: self.sigma_space,
            radius: self.radius,
        }
    }
}

impl Default for TrainConfig {
    fn default() -> Self {
        TrainConfig {
            network: WNet3dConfig::small(),
            seed: 0,
            steps: 200,
            batch: 1,
            patch: [32; 3],
            flips: true,
            rotations: true,
            normalisation: Normalisation::LOCAL_CONTRAST,
            normalise_patches: false,
            n_cuts: NCuts::default(),
            n_cuts_weight: 1.0,
            reconstruction: Reconstruction::Mse,
            balance: Balance::Auto { share: 2.0 },
            decoder_gain: 100.0,
            warm_up: 100,
            learning_rate: 1e-3,
            final_learning_rate: 0.05,
            weight_decay: 0.0,
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

impl TrainConfig {
    /// The recipe of the paper: width 64, patches of 64^3 in batches of 2, each scaled by its own range, 50 passes over
    /// 58 crops. Hours on a GPU. (The original multiplies all gradients by the loss, which Adam does not notice; that is
    /// not repeated here, and neither is its weight decay.)
    pub fn paper() -> Self {
        TrainConfig {
            network: WNet3dConfig::paper(),
            steps: 1450,
            batch: 2,
            patch: [64; 3],
            normalisation: Normalisation::MinMax,
            normalise_patches: true,
            n_cuts: NCuts { sigma_intensity: 1.0, ..NCuts::default() },
            n_cuts_weight: 0.5,
            balance: Balance::Fixed { weight: 0.005 },
            decoder_gain: 1.0,
            warm_up: 0,
            learning_rate: 2e-5,
            final_learning_rate: 1.0,
            clip_norm: 0.0,
            ..Self::default()
        }
    }

    /// How a network that was trained so is to be used.
    pub fn inference(&self) -> Inference {
        Inference { windows: self.windows, normalisation: self.normalisation, ..Inference::default() }
    }

    /// The weight of the classes' order in a step, counted from 0.
    pub(super) fn warm_up_at(&self, step: u64) -> f64 {
        if step < self.warm_up { 2.0 * (1.0 - step as f64 / self.warm_up as f64) } else { 0.0 }
    }

    pub(super) fn course(&self) -> Course {
        Course {
            seed: self.seed,
            steps: self.steps,
            batch: self.batch,
            learning_rate: self.learning_rate,
            rising: 0,
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

    /// Checks the settings.
    ///
    /// # Errors
    /// [`Error::Setting`] names the first one out of range.
    pub fn validate(&self) -> Result<()> {
        self.network.validate()?;
        self.inference().validate()?;
        if self.network.in_channels != 1 || self.network.out_channels != 1 {
            let given = [self.network.in_channels, self.network.out_channels];
            return Err(Error::setting(
                "in_channels, out_channels",
                given,
                "1 and 1: volumes have one channel",
            ));
        }
        if self.patch.iter().any(|&e| e == 0 || !e.is_multiple_of(EXTENT_MULTIPLE)) {
            let expected = format!("extents (z, y, x) that are multiples of {EXTENT_MULTIPLE}");
            return Err(Error::setting("patch", self.patch, expected));
        }
        self.course().validate()?;
        positive("decoder_gain", self.decoder_gain)?;
        positive("n_cuts.sigma_intensity", self.n_cuts.sigma_intensity)?;
        positive("n_cuts.sigma_space", self.n_cuts.sigma_space)?;
        if self.n_cuts.radius == 0 {
            return Err(Error::setting("n_cuts.radius", self.n_cuts.radius, "at least 1"));
        }
        match self.balance {
            Balance::Auto { share } => not_negative("balance.share", share)?,
            Balance::Fixed { weight } => not_negative("balance.weight", weight)?,
        }
        not_negative("n_cuts_weight", self.n_cuts_weight)
    }
}
