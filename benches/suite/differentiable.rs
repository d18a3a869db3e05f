//! Cases of an operation on one tensor: forward alone, its gradient alone, or both.

use super::{Case, Result, Round, Work, inputs::noise};
use cellseg_core::{Result as CoreResult, Tape, Tensor};
use serde_json::{Value, json};
use std::sync::Arc;

/// What is computed of the first input; the others are constants of the operation.
pub(crate) type Computation = Arc<dyn Fn(&Tensor) -> CoreResult<Tensor>>;

/// Boxes what is computed.
pub(crate) fn computation(f: impl Fn(&Tensor) -> CoreResult<Tensor> + 'static) -> Result<Computation> {
    Ok(Arc::new(f))
}

/// What is timed.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Pass {
    Forward,
    Gradient,
    Both,
}

impl Pass {
    fn name(self) -> &'static str {
        match self {
            Pass::Forward => "forward",
            Pass::Gradient => "gradient",
            Pass::Both => "forward and gradient",
        }
    }
}

/// An operation, and what it is called here and by a peer.
pub(crate) struct Operation {
    pub(crate) name: String,
    /// What a peer needs to know, beside the pass and the shapes.
    pub(crate) what: Value,
    pub(crate) x: Vec<usize>,
    pub(crate) y: Vec<usize>,
    /// Makes the operation with its constants.
    pub(crate) make: fn(&Value) -> Result<Computation>,
}

fn round(operation: &Operation, pass: Pass) -> Result<Round> {
    let (x, grad) = (noise(&operation.x, 1)?, noise(&operation.y, 3)?);
    let compute = (operation.make)(&operation.what)?;
    if matches!(pass, Pass::Forward) {
        return Ok(Box::new(move |watch| Ok(vec![watch.time(|| compute(&x))?])));
    }
    let x = x.trainable();
    Ok(Box::new(move |watch| {
        let (tape, grad) = (Tape::new(), grad.clone());
        let forward = || compute(&x.on(&tape));
        let y = if matches!(pass, Pass::Both) { watch.time(forward) } else { forward() }?;
        let mut found = watch.time(|| tape.backward_from(&y, grad))?;
        Ok(found.take(&x).into_iter().collect())
    }))
}

/// The cases of `operation` for each of the passes, whose work is given.
pub(crate) fn cases(operation: Operation, passes: &[(Pass, Work)]) -> Vec<Case> {
    let operation = Arc::new(operation);
    let case = |&(pass, work): &(Pass, Work)| {
        let mut what = operation.what.clone();
        what["pass"] = json!(pass.name());
        what["x"] = json!(operation.x);
        what["y"] = json!(operation.y);
        let name = format!("{} {}", operation.name, pass.name());
        let operation = operation.clone();
        Case { name, what, work, prepare: Box::new(move || round(&operation, pass)) }
    };
    passes.iter().map(case).collect()
}
