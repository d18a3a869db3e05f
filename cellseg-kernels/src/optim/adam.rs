//! Adam and AdamW.

use super::{NAME, Rule, Update, cuda, not_negative, wrong_slots};
use crate::pointwise::{chunks::CHUNK, wide};
use cellseg_core::{Error, Real, Result, Tensor, cuda::Cuda};
use rayon::prelude::*;
use std::sync::Arc;

/// Adam (Kingma and Ba, ICLR 2015), or AdamW where the decay of weights is decoupled from the gradient (Loshchilov and
/// Hutter, ICLR 2019). Settings, defaults and formulas are those of `torch.optim`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Adam {
    /// The learning rate.
    pub lr: f64,
    /// How much of the running means of the gradient and of its square stays in each step.
    pub betas: (f64, f64),
    /// Added to the denominator.
    pub eps: f64,
    /// How much weights decay.
    pub weight_decay: f64,
    /// Whether weights decay by `lr * weight_decay` in each step, as in AdamW, or by a term of their gradient.
    pub decoupled: bool,
}

impl Default for Adam {
    fn default() -> Self {
        Adam { lr: 1e-3, betas: (0.9, 0.999), eps: 1e-8, weight_decay: 0.0, decoupled: false }
    }
}

impl Adam {
    /// AdamW with PyTorch's defaults: a decoupled decay of 0.01.
    pub fn decoupled() -> Self {
        Adam { weight_decay: 0.01, decoupled: true, ..Adam::default() }
    }
}

impl Rule for Adam {
    fn slots(&self) -> &'static [&'static str] {
        &["exp_avg", "exp_avg_sq"]
    }

    fn check(&self) -> Result<()> {
        not_negative("lr", self.lr)?;
        not_negative("eps", self.eps)?;
        not_negative("weight_decay", self.weight_decay)?;
        let (a, b) = self.betas;
        if [a, b].iter().all(|b| (0.0..1.0).contains(b)) {
            return Ok(());
        }
        Err(Error::argument(NAME, format!("betas are {a} and {b}; both must lie in [0, 1)")))
    }

    fn update<T: Real>(
        &self,
        step: u64,
        parameter: &mut [T],
        slots: &mut [Tensor],
        gradient: &[T],
    ) -> Result<()> {
        let [first, second] = slots else { return Err(wrong_slots(slots.len(), self.slots())) };
        let (first, second) = (first.as_mut_slice::<T>()?, second.as_mut_slice::<T>()?);
        let factors = self.factors::<T>(step);
        parameter
            .par_chunks_mut(CHUNK)
            .zip(first.par_chunks_mut(CHUNK))
            .zip(second.par_chunks_mut(CHUNK))
            .zip(gradient.par_chunks(CHUNK))
            .for_each(|(((p, m), v), g)| update(&factors, p, m, v, g));
        Ok(())
    }

    fn update_on_gpu(&self, device: &Arc<Cuda>, updates: &mut [Update<'_>]) -> Result<()> {
        cuda::adam(device, self, updates)
    }
}

/// The numbers that are the same for all of a parameter in one step.
pub(super) struct Factors<T> {
    pub(super) coupled_decay: T,
    pub(super) kept: T,
    pub(super) first_new: T,
    pub(super) second_kept: T,
    pub(super) second_new: T,
    pub(super) second_scale: T,
    pub(super) eps: T,
    pub(super) rate: T,
}

impl Adam {
    /// Those of a step with this number, counted from 1.
    pub(super) fn factors<T: Real>(&self, step: u64) -> Factors<T> {
        let (a, b) = self.betas;
        let bias = |beta: f64| 1.0 - beta.powf(step as f64);
        let (coupled, decoupled) =
            if self.decoupled { (0.0, self.weight_decay) } else { (self.weight_decay, 0.0) };
        Factors {
            coupled_decay: T::of(coupled),
            kept: T::of(1.0 - self.lr * decoupled),
            first_new: T::of(1.0 - a),
            second_kept: T::of(b),
            second_new: T::of(1.0 - b),
            second_scale: T::of(bias(b).sqrt()),
            eps: T::of(self.eps),
            rate: T::of(self.lr / bias(a)),
        }
    }
}

wide! {
    fn update<'a, T: Real>(
        factors: &'a Factors<T>,
        parameter: &'a mut [T],
        first: &'a mut [T],
        second: &'a mut [T],
        gradient: &'a [T],
    ) -> () {
        let Factors { coupled_decay, kept, first_new, second_kept, second_new, second_scale, eps, rate } = *factors;
        for (((p, m), v), g) in parameter.iter_mut().zip(first).zip(second).zip(gradient) {
            let g = *g + coupled_decay * *p;
            *m += first_new * (g - *m);
            *v = second_kept * *v + second_new * g * g;
            let denominator = v.sqrt() / second_scale + eps;
            *p = *p * kept - rate * *m / denominator;
        }
    }
}
