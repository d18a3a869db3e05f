//! The steps of training.

use super::{
    Checkpoint, LabelledVolume, Observer, StepReport, ValidationReport, checkpoint::BEST,
    config::TrainConfig, loss_scale::LossScale, objective::losses, optimiser::Optimiser, patches::Patches,
    validation::mean_dice,
};
use crate::{Compute, Error, Result, VolumeView, WNet3d, weights::State, wnet3d::PassMode};
use cellseg_core::{Device, Rng, Tape, Tensor};
use serde::{Deserialize, Serialize};

/// How training ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// All steps are done.
    Finished,
    /// There was no better validation for as long as [`TrainConfig::patience`] says.
    NoImprovement,
    /// The observer asked for it.
    Stopped,
}

/// A trained network.
#[derive(Debug, Clone)]
pub struct Trained {
    /// The network: the best one where there were labels to tell, else that of the last step.
    pub network: WNet3d,
    /// How training ended.
    pub end: End,
    /// Steps done.
    pub steps: u64,
    /// The best Dice score and the step that it was reached at, where there were labels.
    pub best_dice: Option<(f64, u64)>,
    /// Everything, to go on from.
    pub checkpoint: Checkpoint,
}

/// How far training is. Together with the weights and the moments this is all of its state.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Progress {
    pub(super) step: u64,
    /// The sum of the losses since the last validation.
    loss_sum: f64,
    /// Steps in that sum.
    loss_count: u64,
    /// The best validation: a Dice score, or minus a mean loss where there are no labels.
    best: Option<(f64, u64)>,
    labelled: bool,
    /// Validations since then.
    stale: u64,
    /// Of half precision only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    loss_scale: Option<LossScale>,
}

impl Progress {
    pub(super) fn best_dice(&self) -> Option<f64> {
        self.best.filter(|_| self.labelled).map(|(score, _)| score)
    }
}

fn diverged(loss: &'static str, value: f64, report: &StepReport) -> Error {
    Error::Diverged { loss, value, step: report.step, learning_rate: report.learning_rate }
}

/// Training, between steps.
pub(super) struct Trainer<'v, 'l> {
    config: TrainConfig,
    patches: Patches<'v>,
    validation: Vec<LabelledVolume<'l>>,
    network: WNet3d,
    optimiser: Optimiser,
    progress: Progress,
    best_weights: State,
}

/// The streams of random numbers of one seed: one for the first weights, one for the steps.
const STEPS: u64 = 1;
/// The streams of one step.
const PATCHES: u64 = 0;
const DROPOUT: u64 = 1;

impl<'v, 'l> Trainer<'v, 'l> {
    pub(super) fn new(
        device: &Device,
        volumes: &[VolumeView<'v>],
        validation: &[LabelledVolume<'l>],
        config: &TrainConfig,
    ) -> Result<Self> {
        config.validate()?;
        validation.iter().try_for_each(LabelledVolume::check)?;
        let network = WNet3d::new(&config.network, config.seed)?.with_compute(config.compute).to(device)?;
        let labelled = !validation.is_empty();
        let loss_scale = LossScale::start(config.compute);
        Ok(Trainer {
            patches: Patches::new(volumes, config)?,
            validation: validation.to_vec(),
            optimiser: Optimiser::new(config),
            network,
            progress: Progress { labelled, loss_scale, ..Progress::default() },
            best_weights: State::new(),
            config: config.clone(),
        })
    }

    pub(super) fn resume(
        device: &Device,
        checkpoint: &Checkpoint,
        volumes: &[VolumeView<'v>],
        validation: &[LabelledVolume<'l>],
    ) -> Result<Self> {
        let mut trainer = Self::new(device, volumes, validation, &checkpoint.config()?)?;
        let (before, now) = (checkpoint.volumes()?, trainer.patches.extents());
        if before != now {
            return Err(Error::Checkpoint(format!(
                "it was made with volumes of {before:?} voxels (z, y, x), and the volumes given have {now:?}; \
                 give the same volumes in the same order, or start a new training"
            )));
        }
        let progress = checkpoint.progress()?;
        if progress.labelled == validation.is_empty() {
            let why = "labelled volumes must be given where they were given before, and only there: the best step is \
                       judged by them";
            return Err(Error::Checkpoint(why.to_owned()));
        }
        trainer.progress = progress;
        trainer.network.load(&checkpoint.last_weights())?;
        trainer.optimiser.load(&trainer.network, checkpoint, progress.step)?;
        trainer.best_weights = checkpoint.part(BEST);
        Ok(trainer)
    }

    pub(super) fn run(mut self, observer: &mut dyn Observer) -> Result<Trained> {
        let mut end = self.end();
        while end.is_none() {
            let report = self.step()?;
            let stopped = observer.step(&report).is_break();
            let step = self.progress.step;
            if step.is_multiple_of(self.config.validate_every) || step >= self.config.steps {
                observer.validation(&self.validate()?);
            }
            end = self.end().or(stopped.then_some(End::Stopped));
            let every = self.config.checkpoint_every;
            if end.is_none() && every > 0 && step.is_multiple_of(every) {
                observer.checkpoint(&self.checkpoint()?).map_err(Error::Store)?;
            }
        }
        let checkpoint = self.checkpoint()?;
        observer.checkpoint(&checkpoint).map_err(Error::Store)?;
        if !self.best_weights.is_empty() {
            self.network.load(&self.best_weights)?;
        }
        Ok(Trained {
            network: self.network.with_compute(Compute::F32),
            end: end.unwrap_or(End::Finished),
            steps: self.progress.step,
            best_dice: self.progress.best.filter(|_| self.progress.labelled),
            checkpoint,
        })
    }

    fn end(&self) -> Option<End> {
        let Progress { step, stale, .. } = self.progress;
        if step >= self.config.steps {
            return Some(End::Finished);
        }
        (self.config.patience > 0 && stale >= self.config.patience).then_some(End::NoImprovement)
    }

    fn step(&mut self) -> Result<StepReport> {
        let step = self.progress.step;
        let rng = Rng::new(self.config.seed).stream(STEPS).stream(step);
        let patches = self.patches.draw(&self.config, &mut rng.stream(PATCHES))?;
        let mode =
            PassMode { dropout_key: Some(rng.stream(DROPOUT).seed()), checkpoint: self.config.recompute };
        loop {
            let report = self.attempt(&patches, &mode)?;
            let norm = report.gradient_norm;
            let scale = self.progress.loss_scale.as_mut();
            if norm.is_finite() {
                if let Some(scale) = scale {
                    scale.good();
                }
                self.progress.step += 1;
                self.progress.loss_sum += report.loss;
                self.progress.loss_count += 1;
                return Ok(report);
            }
            if !scale.is_some_and(LossScale::halve) {
                return Err(diverged("gradient of the", norm, &report));
            }
        }
    }

    /// Moves the weights, unless a gradient overflows.
    fn attempt(&mut self, patches: &Tensor, mode: &PassMode) -> Result<StepReport> {
        let step = self.progress.step;
        let tape = Tape::new();
        let losses =
            losses(&self.network, &patches.on(&tape), &self.config, mode, self.config.warm_up_at(step))?;
        let mut report = StepReport {
            step: step + 1,
            steps: self.config.steps,
            n_cuts: losses.n_cuts.item()?,
            reconstruction: losses.reconstruction.item()?,
            loss: losses.total.item()?,
            gradient_norm: f64::NAN,
            learning_rate: self.config.learning_rate_at(step),
            loss_scale: self.progress.loss_scale.map_or(1.0, |scale| scale.factor()),
        };
        let all =
            [("SoftNCuts", report.n_cuts), ("reconstruction", report.reconstruction), ("total", report.loss)];
        if let Some((loss, value)) = all.into_iter().find(|(_, value)| !value.is_finite()) {
            return Err(diverged(loss, value, &report));
        }
        let seed = Tensor::full(report.loss_scale as f32, losses.total.shape().dims())?;
        let mut gradients = tape.backward_from(&losses.total, seed.to(&losses.total.device())?)?;
        report.gradient_norm = self.optimiser.step(
            &mut self.network,
            &mut gradients,
            [report.learning_rate, report.loss_scale],
        )?;
        Ok(report)
    }

    fn validate(&mut self) -> Result<ValidationReport> {
        let mean_loss = self.progress.loss_sum / self.progress.loss_count.max(1) as f64;
        (self.progress.loss_sum, self.progress.loss_count) = (0.0, 0);
        let dice = mean_dice(&self.network, &self.validation, &self.config)?;
        let score = dice.unwrap_or(-mean_loss);
        let best = self.progress.best.is_none_or(|(before, _)| score > before);
        if best {
            self.progress.best = Some((score, self.progress.step));
            self.progress.stale = 0;
            if dice.is_some() {
                self.best_weights = self.network.state()?;
            }
        } else {
            self.progress.stale += 1;
        }
        Ok(ValidationReport { step: self.progress.step, mean_loss, dice, best })
    }

    fn checkpoint(&self) -> Result<Checkpoint> {
        let mut arrays = self.network.state()?;
        arrays.extend(self.optimiser.state(&self.network)?);
        arrays.extend(self.best_weights.iter().map(|(name, a)| (format!("{BEST}{name}"), a.clone())));
        Checkpoint::new(arrays, &self.config, &self.progress, &self.patches.extents())
    }
}
