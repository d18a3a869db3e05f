//! The tape: how gradients are found.
//!
//! A tape is the list of the operations since recording began, in the order in which they ran. That order is a
//! topological order of the graph, so the backward pass pops records from the end and needs neither a graph walk nor
//! recursion. Popping a record frees what its operation saved as soon as its gradient is done, so memory falls while
//! the pass goes on. The first gradient of a tensor is moved into place; only a second one costs an addition.
//!
//! The tape travels with the input of a network. Parameters are on no tape, so a model is an ordinary value that can be
//! read by many threads, and a forward pass without a tape is inference: nothing is recorded, nothing is kept.
//!
//! [`checkpoint`] trades time for memory: of a block of operations only the input is kept, and the block runs again when
//! its gradient is asked for. A block must compute the same numbers both times (random numbers are given to operations
//! as keys, not as a state that moves on), and then its gradients are the same bits as without a checkpoint.

use crate::{Error, Id, Result, Tensor, dtype::dispatch};
use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, PoisonError},
};

type Backward = Box<dyn FnOnce(Tensor) -> Result<Vec<(Id, Tensor)>> + Send>;

/// The operations since recording began, in order. Clones are the same tape.
#[derive(Clone, Default)]
pub struct Tape {
    records: Arc<Mutex<Vec<(Id, Backward)>>>,
    discards: bool,
}

impl Tape {
    /// An empty tape.
    pub fn new() -> Self {
        Self::default()
    }

    /// A tape that keeps nothing: what is computed on it is computed again later, on another one, for its gradient. So an
    /// operation can tell this from inference.
    fn discarding() -> Self {
        Tape { discards: true, ..Self::default() }
    }

    /// Whether nothing is kept.
    pub(crate) fn discards(&self) -> bool {
        self.discards
    }

    /// How many operations are recorded.
    pub fn len(&self) -> usize {
        self.records().len()
    }

    /// Whether nothing is recorded.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether `other` is this tape.
    pub fn is(&self, other: &Tape) -> bool {
        Arc::ptr_eq(&self.records, &other.records)
    }

    fn records(&self) -> std::sync::MutexGuard<'_, Vec<(Id, Backward)>> {
        // A push or a pop cannot be left half done, so a poisoned lock is still good.
        self.records.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn record(
        &self,
        out: Id,
        backward: impl FnOnce(Tensor) -> Result<Vec<(Id, Tensor)>> + Send + 'static,
    ) {
        if !self.discards {
            self.records().push((out, Box::new(backward)));
        }
    }

    /// The gradients of the single number `loss` with respect to all trainable tensors that it was computed from.
    /// Empties the tape.
    ///
    /// # Errors
    /// [`Error::Argument`] where `loss` holds more than one number, [`Error::Gradient`] where it was not recorded here,
    /// and those of the operations' gradients.
    pub fn backward(&self, loss: &Tensor) -> Result<Gradients> {
        if loss.shape().count() != 1 {
            return Err(Error::argument(
                "backward",
                format!("a loss is a single number, not {:?}; use backward_from", loss.shape()),
            ));
        }
        let one =
            dispatch!(loss.dtype(), T => Tensor::full(<T as crate::Element>::of(1.0), loss.shape().dims()))?;
        self.backward_from(loss, one.to(&loss.device())?)
    }

    /// The gradients that follow from `grad`, the gradient of the tensor `of`, which it must match in shape. Empties the
    /// tape.
    ///
    /// # Errors
    /// As for [`Tape::backward`].
    pub fn backward_from(&self, of: &Tensor, grad: Tensor) -> Result<Gradients> {
        if grad.shape() != of.shape() {
            return Err(Error::argument(
                "backward",
                format!("a gradient of shape {:?} for a tensor of shape {:?}", grad.shape(), of.shape()),
            ));
        }
        if !of.tape().is_some_and(|t| t.is(self)) || !of.wants_gradient() {
            return Err(Error::Gradient(
                "the tensor was not recorded on this tape: run the model on `x.on(&tape)`, with trainable parameters",
            ));
        }
        let mut gradients = Gradients(HashMap::from([(of.id(), grad)]));
        loop {
            // Bound to a statement of its own, so that the lock is free while the gradient is computed.
            let next = self.records().pop();
            let Some((out, backward)) = next else { break };
            let Some(grad) = gradients.0.remove(&out) else { continue };
            for (id, g) in backward(grad)? {
                gradients.add(id, g)?;
            }
        }
        Ok(gradients)
    }
}

impl fmt::Debug for Tape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Tape of {} operations", self.len())
    }
}

/// The gradients that a backward pass found.
#[derive(Debug, Default)]
pub struct Gradients(HashMap<Id, Tensor>);

impl Gradients {
    /// The gradient of `t`, if the loss depends on it and it wanted one.
    pub fn get(&self, t: &Tensor) -> Option<&Tensor> {
        self.0.get(&t.id())
    }

    /// The gradient of `t`, taken out.
    pub fn take(&mut self, t: &Tensor) -> Option<Tensor> {
        self.0.remove(&t.id())
    }

    fn add(&mut self, id: Id, g: Tensor) -> Result<()> {
        let sum = match self.0.remove(&id) {
            None => g,
            Some(sum) => sum.accumulate(&g)?,
        };
        self.0.insert(id, sum);
        Ok(())
    }
}

/// `block(x)`, keeping only `x` of all that the block would save, and running the block again for its gradient.
///
/// # Errors
/// Those of `block`.
pub fn checkpoint<F>(x: &Tensor, block: F) -> Result<Tensor>
where
    F: Fn(&Tensor) -> Result<Tensor> + Send + 'static,
{
    let Some(tape) = x.tape().cloned() else { return block(x) };
    let kept = x.off_tape();
    let mut y = block(&kept.on(&Tape::discarding()))?;
    if y.wants_gradient() {
        tape.record(y.id(), move |grad| {
            let inner = Tape::new();
            let again = block(&kept.on(&inner))?;
            Ok(inner.backward_from(&again, grad)?.0.into_iter().collect())
        });
    }
    let wants_gradient = y.wants_gradient();
    y.set_recording(Some(tape), wants_gradient);
    Ok(y)
}
