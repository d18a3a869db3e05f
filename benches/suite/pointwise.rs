//! What stands between convolutions, and the optimiser: norms with activation and dropout, pooling, resizing, softmax, Adam.

use super::{
    Case, Result, Round, Work,
    differentiable::{Computation, Operation, Pass, cases as passes, computation},
    inputs::{noise, single},
};
use cellseg_core::Tensor;
use cellseg_kernels::{
    dropout::{Dropout, dropout},
    norm::{self, Norm, Order, norm},
    optim::{Adam, Optimizer},
    pointwise::{Activation, activate},
    pool::max_pool3d,
    resample::{self, Interpolation, resize},
    softmax::softmax,
};
use serde_json::{Value, json};

const DROPOUT: Dropout = Dropout { p: 0.65, key: 7 };

/// Makes an operation from what a peer is told.
type Make = fn(&Value) -> Result<Computation>;

fn bytes(numbers: usize) -> Work {
    Work::Bytes(4.0 * numbers as f64)
}

fn count(dims: &[usize]) -> usize {
    dims.iter().product()
}

/// An operation on volumes with a name of its own and of its input's extents.
fn operation(name: &str, what: Value, x: [usize; 5], y: [usize; 5], make: Make) -> Operation {
    let [_, d, h, w, channels] = x;
    let name = format!("{name}, {channels} channels at {d}x{h}x{w}");
    Operation { name, what, x: x.into(), y: y.into(), make }
}

/// A norm, and maybe ReLU and dropout before or after it.
fn norms() -> impl Iterator<Item = Case> {
    let make: Make = |what| {
        let alone = Norm::groups(serde_json::from_value(what["groups"].clone())?);
        let fused = Norm { activation: Activation::Relu, dropout: Some(DROPOUT), ..alone };
        let settings = match what["order"].as_str() {
            Some("norm first") => Norm { order: Order::NormFirst, ..fused },
            Some("norm last") => Norm { order: Order::NormLast, ..fused },
            _ => alone,
        };
        let channels: Vec<usize> = serde_json::from_value(what["channels"].clone())?;
        let (gamma, beta) = (noise(&channels, 4)?, noise(&channels, 5)?);
        computation(move |x| norm(x, &gamma, &beta, None, &settings))
    };
    let orders = [
        ("group norm, ReLU, dropout", "norm first"),
        ("ReLU, dropout, group norm", "norm last"),
        ("group norm", "alone"),
    ];
    norm::cases::LAYERS.iter().flat_map(move |&(x, groups)| {
        orders.into_iter().flat_map(move |(name, order)| {
            let what = json!({
                "operation": "norm", "order": order, "groups": groups, "channels": [x[4]], "p": DROPOUT.p,
            });
            // Forward the input is read twice and the output written; backward input and gradient are read twice.
            passes(operation(name, what, x, x, make), &[(Pass::Both, bytes(8 * count(&x)))])
        })
    })
}

/// Each operation alone.
fn alone() -> impl Iterator<Item = Case> {
    let x = [1, 64, 64, 64, 64];
    let operations: [(&str, [usize; 5], [usize; 5], Make); 4] = [
        ("relu", x, x, |_| computation(|x| activate(x, Activation::Relu))),
        ("dropout", x, x, |_| computation(|x| dropout(x, DROPOUT.p, DROPOUT.key))),
        ("max_pool", x, [1, 32, 32, 32, 64], |_| computation(|x| max_pool3d(x, [2; 3]))),
        ("softmax", [1, 64, 64, 64, 2], [1, 64, 64, 64, 2], |_| computation(|x| softmax(x))),
    ];
    let resized = resample::cases::LAYERS.iter().map(|&x| {
        let y = [x[0], 2 * x[1], 2 * x[2], 2 * x[3], x[4]];
        let make: Make = |what| {
            let y: Vec<usize> = serde_json::from_value(what["y"].clone())?;
            let size = [y[1], y[2], y[3]];
            computation(move |x| resize(x, size, Interpolation::Trilinear { align_corners: false }))
        };
        ("trilinear", x, y, make)
    });
    operations.into_iter().chain(resized).flat_map(|(name, x, y, make)| {
        let what = json!({ "operation": name, "p": DROPOUT.p, "y": y });
        let both = bytes(count(&x) + count(&y));
        passes(operation(name, what, x, y, make), &[(Pass::Forward, both), (Pass::Gradient, both)])
    })
}

/// A step over as many parameters as WNet3D has, of the mean size of its kernels.
fn adam() -> Case {
    const PARAMETERS: usize = 168;
    const NUMBERS: usize = 300_000;
    let prepare = || -> Result<Round> {
        let names: Vec<String> = (0..PARAMETERS).map(|i| i.to_string()).collect();
        let mut parameters = names.iter().map(|_| single(&[NUMBERS], 1)).collect::<Result<Vec<Tensor>>>()?;
        let gradient = single(&[NUMBERS], 2)?;
        let mut adam = Optimizer::new(Adam::default());
        Ok(Box::new(move |watch| {
            let all = names.iter().zip(&mut parameters).map(|(name, p)| (name.as_str(), p, &gradient));
            watch.time(|| adam.step(all))?;
            Ok(vec![])
        }))
    };
    Case {
        name: format!("adam, {PARAMETERS} parameters of {NUMBERS}"),
        what: json!({ "operation": "adam", "parameters": PARAMETERS, "numbers": NUMBERS }),
        // Parameters and both moments are read and written, gradients read.
        work: bytes(7 * PARAMETERS * NUMBERS),
        prepare: Box::new(prepare),
    }
}

/// All of them.
pub(crate) fn cases() -> Vec<Case> {
    norms().chain(alone()).chain([adam()]).collect()
}
