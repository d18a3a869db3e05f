//! Who hears how training goes.

use super::Checkpoint;
use std::{error::Error, ops::ControlFlow};

/// Hears how training goes, may stop it, and keeps its checkpoints. All methods do nothing unless they are written.
pub trait Observer {
    /// Called after each step. Return [`ControlFlow::Break`] to stop: a last checkpoint is then made, from which training
    /// can go on as if it had never been stopped.
    fn step(&mut self, report: &StepReport) -> ControlFlow<()> {
        let _ = report;
        ControlFlow::Continue(())
    }

    /// Called after each validation.
    fn validation(&mut self, report: &ValidationReport) {
        let _ = report;
    }

    /// Called with each checkpoint, which is lost unless it is stored here.
    ///
    /// # Errors
    /// Whatever kept the checkpoint from being stored; training ends with it.
    fn checkpoint(&mut self, checkpoint: &Checkpoint) -> Result<(), Box<dyn Error + Send + Sync>> {
        let _ = checkpoint;
        Ok(())
    }
}

/// Listens to nothing and keeps nothing.
impl Observer for () {}

/// One step of training.
#[derive(Debug, Clone, PartialEq)]
pub struct StepReport {
    /// Steps done.
    pub step: u64,
    /// Steps to be done.
    pub steps: u64,
    /// What is minimised.
    pub loss: f64,
    /// What the loss is made of, unweighted, each with its name. Without labels these are `n_cuts`, SoftNCuts, from 0 (no edge is
    /// cut) to the number of classes, and `reconstruction`.
    pub terms: Vec<(&'static str, f64)>,
    /// The Euclidean norm of the gradient, before it was clipped.
    pub gradient_norm: f64,
    /// The step size.
    pub learning_rate: f64,
    /// What the loss was multiplied by so that its gradients do not vanish in `f16`; 1 in other types. It is halved, and the
    /// step tried again, where a gradient overflows, and doubled after 2000 steps in which none did.
    pub loss_scale: f64,
}

impl StepReport {
    /// What a term of the loss is; not a number where the loss has no such term.
    pub fn term(&self, name: &str) -> f64 {
        self.terms.iter().find(|(n, _)| *n == name).map_or(f64::NAN, |(_, value)| *value)
    }
}

/// One validation.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ValidationReport {
    /// Steps done.
    pub step: u64,
    /// The mean loss since the last validation.
    pub mean_loss: f64,
    /// The mean Dice score of the foreground over the labelled volumes, where there are any.
    pub dice: Option<f64>,
    /// Whether this is the best so far: the highest Dice score or, without labels, the lowest mean loss.
    pub best: bool,
}
