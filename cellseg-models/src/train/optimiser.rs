//! Adam, and its state as named arrays.

use super::{
    Checkpoint,
    checkpoint::{FIRST_MOMENT, SECOND_MOMENT},
    course::Course,
};
use crate::{
    Result,
    layers::{Module, Parameter},
    weights::{self, State},
};
use cellseg_core::{Error as CoreError, Gradients, Tensor};
use cellseg_kernels::{
    optim::{self, Adam, Optimizer, clip_norm},
    pointwise,
};
use std::collections::BTreeMap;

/// Adam with clipped gradients.
pub(super) struct Optimiser {
    adam: Optimizer<Adam>,
    clip_norm: f64,
}

impl Optimiser {
    pub(super) fn new(course: &Course) -> Self {
        let decay = course.weight_decay;
        let rule = Adam { lr: course.learning_rate, weight_decay: decay, decoupled: true, ..Adam::default() };
        // A limit that nothing reaches still measures the norm.
        let clip_norm = if course.clip_norm > 0.0 { course.clip_norm } else { f64::MAX };
        Optimiser { adam: Optimizer::new(rule), clip_norm }
    }

    /// Moves all weights along gradients that are `scale` times too large, and returns the norm of the gradients. Where it is
    /// not finite the weights stay as they are.
    pub(super) fn step(
        &mut self,
        network: &mut (impl Module + ?Sized),
        gradients: &mut Gradients,
        [learning_rate, scale]: [f64; 2],
    ) -> Result<f64> {
        let mut moved: Vec<(String, &mut Tensor, Tensor)> = Vec::new();
        let mut missing = false;
        network.each_mut("", &mut |name, p| match gradients.take(p.tensor()) {
            Some(gradient) => moved.push((name, p.tensor_mut(), gradient)),
            None => missing |= p.is_trainable(),
        });
        if missing {
            return Err(CoreError::Gradient("a weight has no gradient, though the loss depends on it").into());
        }
        if scale != 1.0 {
            moved = moved
                .into_iter()
                .map(|(name, p, g)| Ok((name, p, pointwise::scale(g, 1.0 / scale)?)))
                .collect::<Result<_>>()?;
        }
        let norm = clip_norm(moved.iter_mut().map(|(_, _, g)| g), self.clip_norm)?;
        if norm.is_finite() {
            self.adam.rule.lr = learning_rate;
            self.adam.step(moved.iter_mut().map(|(name, p, g)| (name.as_str(), &mut **p, &*g)))?;
        }
        Ok(norm)
    }

    /// The moments of all weights, in PyTorch's layout.
    pub(super) fn state(&self, network: &(impl Module + ?Sized)) -> Result<State> {
        let mut out = State::new();
        for (slot, prefix) in [FIRST_MOMENT, SECOND_MOMENT].into_iter().enumerate() {
            let moments = weights::export(network, |name, p| match self.adam.states().get(name) {
                Some(state) => p.export(&state.slots[slot]).map(Some),
                None => Ok(None),
            })?;
            out.extend(moments.into_iter().map(|(name, a)| (format!("{prefix}{name}"), a)));
        }
        Ok(out)
    }

    /// Goes on after `step` steps with a checkpoint's moments.
    pub(super) fn load(
        &mut self,
        network: &(impl Module + ?Sized),
        checkpoint: &Checkpoint,
        step: u64,
    ) -> Result<()> {
        let [first, second] = [(FIRST_MOMENT, "first"), (SECOND_MOMENT, "second")].map(|(prefix, which)| {
            let what = format!("the {which} moments of Adam");
            weights::import(network, &what, &checkpoint.part(prefix), Parameter::is_trainable)
        });
        let states: BTreeMap<_, _> = first?
            .into_iter()
            .zip(second?)
            .map(|((name, first), (_, second))| (name, optim::State { step, slots: vec![first, second] }))
            .collect();
        self.adam = Optimizer::resume(self.adam.rule, states);
        Ok(())
    }
}
