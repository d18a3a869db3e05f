//! The steps of training.

use super::{
    Checkpoint, Observer, StepReport, ValidationReport,
    checkpoint::BEST,
    course::Course,
    loss_scale::LossScale,
    objective::{Loss, Objective},
    optimiser::Optimiser,
};
use crate::{
    Compute, Error, Network, PassMode, Result, WNet3d,
    layers::Module,
    weights::{self, State},
};
use cellseg_core::{Rng, Tape, Tensor};
use serde::{Deserialize, Serialize};

/// How training ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// All steps are done.
    Finished,
    /// There was no better validation for as long as `patience` says.
    NoImprovement,
    /// The observer asked for it.
    Stopped,
}

/// A trained network.
#[derive(Debug, Clone)]
pub struct Trained<N = WNet3d> {
    /// The network: the best one where there were labels to tell, else that of the last step.
    pub network: N,
    /// How training ended.
    pub end: End,
    /// Steps done.
    pub steps: u64,
    /// The best Dice score and the step that it was reached at, where there were labels.
    pub best_dice: Option<(f64, u64)>,
    /// Everything, to go on from.
    pub checkpoint: Checkpoint,
}

impl<N: Into<Box<dyn Network>>> Trained<N> {
    /// The same with a network of any architecture.
    pub fn boxed(self) -> Trained<Box<dyn Network>> {
        let Trained { network, end, steps, best_dice, checkpoint } = self;
        Trained { network: network.into(), end, steps, best_dice, checkpoint }
    }
}

impl<N> Trained<Box<N>> {
    pub(super) fn unboxed(self) -> Trained<N> {
        let Trained { network, end, steps, best_dice, checkpoint } = self;
        Trained { network: *network, end, steps, best_dice, checkpoint }
    }
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
pub(super) struct Trainer<O: Objective> {
    objective: O,
    course: Course,
    network: Box<O::Network>,
    optimiser: Optimiser,
    progress: Progress,
    best_weights: State,
}

/// The streams of random numbers of one seed: one for the first weights, one for the steps.
const STEPS: u64 = 1;
/// The streams of one step.
const PATCHES: u64 = 0;
const DROPOUT: u64 = 1;

impl<O: Objective> Trainer<O> {
    /// A training from the weights that `network` has.
    pub(super) fn new(objective: O, mut network: Box<O::Network>) -> Self {
        let course = objective.course();
        network.set_compute(course.compute);
        let loss_scale = LossScale::start(course.compute);
        Trainer {
            network,
            optimiser: Optimiser::new(&course),
            progress: Progress { labelled: objective.validates(), loss_scale, ..Progress::default() },
            best_weights: State::new(),
            course,
            objective,
        }
    }

    /// A training that goes on.
    pub(super) fn resume(objective: O, network: Box<O::Network>, checkpoint: &Checkpoint) -> Result<Self> {
        let mut trainer = Self::new(objective, network);
        let (before, now) = (checkpoint.volumes()?, trainer.objective.volumes());
        if before != now {
            return Err(Error::Checkpoint(format!(
                "it was made with volumes of {before:?} voxels (z, y, x), and the volumes given have {now:?}; \
                 give the same volumes in the same order, or start a new training"
            )));
        }
        let progress = checkpoint.progress()?;
        if progress.labelled != trainer.objective.validates() {
            let why = "labelled volumes must be given where they were given before, and only there: the best step is \
                       judged by them";
            return Err(Error::Checkpoint(why.to_owned()));
        }
        trainer.progress = progress;
        trainer.load(&checkpoint.last_weights())?;
        trainer.optimiser.load(&*trainer.network, checkpoint, progress.step)?;
        trainer.best_weights = checkpoint.part(BEST);
        Ok(trainer)
    }

    fn load(&mut self, state: &State) -> Result<()> {
        let architecture = self.network.architecture();
        weights::load(&mut *self.network, architecture, state)
    }

    pub(super) fn run(mut self, observer: &mut dyn Observer) -> Result<Trained<Box<O::Network>>> {
        let mut end = self.end();
        while end.is_none() {
            let report = self.step()?;
            let stopped = observer.step(&report).is_break();
            let step = self.progress.step;
            if step.is_multiple_of(self.course.validate_every) || step >= self.course.steps {
                observer.validation(&self.validate()?);
            }
            end = self.end().or(stopped.then_some(End::Stopped));
            let every = self.course.checkpoint_every;
            if end.is_none() && every > 0 && step.is_multiple_of(every) {
                observer.checkpoint(&self.checkpoint()?).map_err(Error::Store)?;
            }
        }
        let checkpoint = self.checkpoint()?;
        observer.checkpoint(&checkpoint).map_err(Error::Store)?;
        if !self.best_weights.is_empty() {
            let best = std::mem::take(&mut self.best_weights);
            self.load(&best)?;
        }
        self.network.set_compute(Compute::F32);
        Ok(Trained {
            network: self.network,
            end: end.unwrap_or(End::Finished),
            steps: self.progress.step,
            best_dice: self.progress.best.filter(|_| self.progress.labelled),
            checkpoint,
        })
    }

    fn end(&self) -> Option<End> {
        let Progress { step, stale, .. } = self.progress;
        if step >= self.course.steps {
            return Some(End::Finished);
        }
        (self.course.patience > 0 && stale >= self.course.patience).then_some(End::NoImprovement)
    }

    fn step(&mut self) -> Result<StepReport> {
        let step = self.progress.step;
        let rng = Rng::new(self.course.seed).stream(STEPS).stream(step);
        let batch = self.objective.draw(&mut rng.stream(PATCHES))?;
        let mode =
            PassMode { dropout_key: Some(rng.stream(DROPOUT).seed()), checkpoint: self.course.recompute };
        loop {
            let report = self.attempt(&batch, &mode)?;
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

    /// Moves the weights and the statistics, unless a gradient overflows.
    fn attempt(&mut self, batch: &O::Batch, mode: &PassMode) -> Result<StepReport> {
        let step = self.progress.step;
        let statistics = self.statistics();
        let tape = Tape::new();
        let Loss { terms, total } = self.objective.loss(&mut self.network, batch, &tape, mode, step)?;
        let terms = terms.into_iter().map(|(name, term)| Ok((name, term.item()?)));
        let mut report = StepReport {
            step: step + 1,
            steps: self.course.steps,
            loss: total.item()?,
            terms: terms.collect::<Result<_>>()?,
            gradient_norm: f64::NAN,
            learning_rate: self.course.learning_rate_at(step),
            loss_scale: self.progress.loss_scale.map_or(1.0, |scale| scale.factor()),
        };
        let all = report.terms.iter().copied().chain([("total", report.loss)]);
        if let Some((loss, value)) = all.into_iter().find(|(_, value)| !value.is_finite()) {
            return Err(diverged(loss, value, &report));
        }
        let seed = Tensor::full(report.loss_scale as f32, total.shape().dims())?;
        let mut gradients = tape.backward_from(&total, seed.to(&total.device())?)?;
        report.gradient_norm = self.optimiser.step(
            &mut *self.network,
            &mut gradients,
            [report.learning_rate, report.loss_scale],
        )?;
        if !report.gradient_norm.is_finite() {
            self.restore(statistics);
        }
        Ok(report)
    }

    /// What the network has gathered so far. Weights are not among it: while they are shared Adam would have to copy them.
    fn statistics(&self) -> Vec<Tensor> {
        let mut statistics = Vec::new();
        self.network.each("", &mut |_, p| {
            if !p.is_trainable() {
                statistics.push(p.tensor().clone());
            }
        });
        statistics
    }

    /// Takes back what an attempt has gathered, as the same batch is tried again.
    fn restore(&mut self, statistics: Vec<Tensor>) {
        let mut statistics = statistics.into_iter();
        self.network.each_mut("", &mut |_, p| {
            if let Some(before) = (!p.is_trainable()).then(|| statistics.next()).flatten() {
                p.set(before);
            }
        });
    }

    fn validate(&mut self) -> Result<ValidationReport> {
        let mean_loss = self.progress.loss_sum / self.progress.loss_count.max(1) as f64;
        (self.progress.loss_sum, self.progress.loss_count) = (0.0, 0);
        let dice = self.objective.dice(&self.network)?;
        let score = dice.unwrap_or(-mean_loss);
        let best = self.progress.best.is_none_or(|(before, _)| score > before);
        if best {
            self.progress.best = Some((score, self.progress.step));
            self.progress.stale = 0;
            if dice.is_some() {
                self.best_weights = weights::state(&*self.network)?;
            }
        } else {
            self.progress.stale += 1;
        }
        Ok(ValidationReport { step: self.progress.step, mean_loss, dice, best })
    }

    fn checkpoint(&self) -> Result<Checkpoint> {
        let mut arrays = weights::state(&*self.network)?;
        arrays.extend(self.optimiser.state(&*self.network)?);
        arrays.extend(self.best_weights.iter().map(|(name, a)| (format!("{BEST}{name}"), a.clone())));
        Checkpoint::new(arrays, &self.objective, &self.progress)
    }
}
