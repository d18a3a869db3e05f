//! Gradient descent with momentum.

use super::{NAME, Rule, Update, cuda, not_negative, wrong_slots};
use crate::pointwise::chunks::{CHUNK, zip_in_place};
use cellseg_core::{Error, Real, Result, Tensor, cuda::Cuda};
use rayon::prelude::*;
use std::sync::Arc;

/// Stochastic gradient descent, with momentum where it is not zero; settings and formulas are those of `torch.optim`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sgd {
    /// The learning rate.
    pub lr: f64,
    /// How much of the velocity stays in each step.
    pub momentum: f64,
    /// How much of the gradient does not enter the velocity.
    pub dampening: f64,
    /// How much weights decay, by a term of their gradient.
    pub weight_decay: f64,
    /// Whether the step looks ahead along the velocity (Sutskever et al., ICML 2013).
    pub nesterov: bool,
}

impl Default for Sgd {
    fn default() -> Self {
        Sgd { lr: 1e-3, momentum: 0.0, dampening: 0.0, weight_decay: 0.0, nesterov: false }
    }
}

impl Rule for Sgd {
    fn slots(&self) -> &'static [&'static str] {
        if self.momentum == 0.0 { &[] } else { &["momentum_buffer"] }
    }

    fn check(&self) -> Result<()> {
        not_negative("lr", self.lr)?;
        not_negative("momentum", self.momentum)?;
        not_negative("dampening", self.dampening)?;
        not_negative("weight_decay", self.weight_decay)?;
        if self.nesterov && (self.momentum == 0.0 || self.dampening != 0.0) {
            return Err(Error::argument(NAME, "nesterov needs a momentum above zero and no dampening"));
        }
        Ok(())
    }

    fn update<T: Real>(
        &self,
        step: u64,
        parameter: &mut [T],
        slots: &mut [Tensor],
        gradient: &[T],
    ) -> Result<()> {
        let (rate, decay) = (T::of(self.lr), T::of(self.weight_decay));
        if self.momentum == 0.0 {
            zip_in_place(parameter, gradient, |p, g| p - rate * (g + decay * p));
            return Ok(());
        }
        let [velocity] = slots else { return Err(wrong_slots(slots.len(), self.slots())) };
        let entering = T::of(self.entering(step));
        let momentum = T::of(self.momentum);
        let (of_gradient, of_velocity) = self.shares();
        let (of_gradient, of_velocity) = (T::of(of_gradient), T::of(of_velocity));
        parameter
            .par_chunks_mut(CHUNK)
            .zip(velocity.as_mut_slice::<T>()?.par_chunks_mut(CHUNK))
            .zip(gradient.par_chunks(CHUNK))
            .for_each(|((p, v), g)| {
                for ((p, v), g) in p.iter_mut().zip(v).zip(g) {
                    let g = *g + decay * *p;
                    *v = momentum * *v + entering * g;
                    *p -= rate * (of_gradient * g + of_velocity * *v);
                }
            });
        Ok(())
    }

    fn update_on_gpu(&self, device: &Arc<Cuda>, updates: &mut [Update<'_>]) -> Result<()> {
        cuda::sgd(device, self, updates)
    }
}

impl Sgd {
    /// How much of the gradient enters the velocity: in the first step it is the velocity, whatever the dampening.
    pub(super) fn entering(&self, step: u64) -> f64 {
        if step == 1 { 1.0 } else { 1.0 - self.dampening }
    }

    /// How much of the gradient and of the velocity a parameter moves by.
    pub(super) fn shares(&self) -> (f64, f64) {
        if self.nesterov { (1.0, self.momentum) } else { (0.0, 1.0) }
    }
}
