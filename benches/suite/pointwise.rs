//! What stands between convolutions: norms with activation and dropout, pooling, softmax.

use super::{
    Case, Result, Work,
    differentiable::{Computation, Operation, Pass, cases as passes, computation},
    inputs::noise,
};
use cellseg_kernels::{
    dropout::{Dropout, dropout},
    norm::{Norm, Order, norm},
    pointwise::{Activation, activate},
    pool::max_pool3d,
    softmax::softmax,
};
use serde_json::{Value, json};

/// WNet3D's first level.
const X: [usize; 5] = [1, 64, 64, 64, 64];
const GROUPS: usize = 4;
const DROPOUT: Dropout = Dropout { p: 0.65, key: 7 };

/// Makes an operation from what a peer is told.
type Make = fn(&Value) -> Result<Computation>;

/// Bytes of so many tensors of [`X`].
fn bytes(tensors: f64) -> Work {
    Work::Bytes(4.0 * tensors * X.iter().product::<usize>() as f64)
}

fn operation(name: &str, what: Value, y: [usize; 5], make: Make) -> Operation {
    Operation { name: format!("{name} 64 channels at 64x64x64"), what, x: X.into(), y: y.into(), make }
}

fn chain(what: &Value) -> Result<Computation> {
    let order = if what["order"] == "norm first" { Order::NormFirst } else { Order::NormLast };
    let settings =
        Norm { activation: Activation::Relu, dropout: Some(DROPOUT), order, ..Norm::groups(GROUPS) };
    let (gamma, beta) = (noise(&[X[4]], 4)?, noise(&[X[4]], 5)?);
    computation(move |x| norm(x, &gamma, &beta, None, &settings))
}

/// Both orders of norm, ReLU and dropout, and each alone.
pub(crate) fn cases() -> Vec<Case> {
    let halved = [1, 32, 32, 32, 64];
    let both = |forward, gradient| [(Pass::Forward, bytes(forward)), (Pass::Gradient, bytes(gradient))];
    let mut cases = vec![];
    for (name, order) in
        [("group norm, ReLU, dropout", "norm first"), ("ReLU, dropout, group norm", "norm last")]
    {
        let what = json!({ "operation": "chain", "order": order, "groups": GROUPS, "p": DROPOUT.p });
        // At least: read and written forward; input and gradient read, gradient written backward.
        cases.extend(passes(operation(name, what, X, chain), &[(Pass::Both, bytes(5.0))]));
    }
    let alone: [(&str, [usize; 5], Make, [f64; 2]); 4] = [
        ("relu", X, |_| computation(|x| activate(x, Activation::Relu)), [2.0, 3.0]),
        ("dropout", X, |_| computation(|x| dropout(x, DROPOUT.p, DROPOUT.key)), [2.0, 2.0]),
        ("max_pool", halved, |_| computation(|x| max_pool3d(x, [2; 3])), [1.125, 1.125]),
        ("softmax", X, |_| computation(|x| softmax(x)), [2.0, 3.0]),
    ];
    for (name, y, make, [forward, gradient]) in alone {
        let what = json!({ "operation": name, "p": DROPOUT.p });
        cases.extend(passes(operation(name, what, y, make), &both(forward, gradient)));
    }
    cases
}
