//! The convolutions of volumes, plain and transposed, and their gradients.

use super::{Case, Result, Round, Work, inputs::noise};
use cellseg_core::{Result as CoreResult, Tape, Tensor};
use cellseg_kernels::{
    conv_transpose3d::{self, conv_transpose3d},
    conv3d::{self, conv3d},
};
use serde_json::json;

/// An operation on volumes and a kernel.
type Computation = fn(&Layer, &Tensor, &Tensor) -> CoreResult<Tensor>;

/// A layer to time.
#[derive(Clone, Copy)]
struct Layer {
    operation: &'static str,
    x: [usize; 5],
    w: [usize; 5],
    y: [usize; 5],
    stride: [usize; 3],
    padding: [usize; 3],
    flops: f64,
    computation: Computation,
}

/// What of a layer is computed.
#[derive(Clone, Copy)]
enum Pass {
    Forward,
    DataGradient,
    WeightGradient,
}

impl Pass {
    const ALL: [Pass; 3] = [Pass::Forward, Pass::DataGradient, Pass::WeightGradient];

    fn name(self) -> &'static str {
        match self {
            Pass::Forward => "forward",
            Pass::DataGradient => "data gradient",
            Pass::WeightGradient => "weight gradient",
        }
    }
}

impl Layer {
    fn round(self, pass: Pass) -> Result<Round> {
        let (mut x, mut w, grad) = (noise(&self.x, 1)?, noise(&self.w, 2)?, noise(&self.y, 3)?);
        match pass {
            Pass::Forward => {
                return Ok(Box::new(move |watch| {
                    Ok(vec![watch.time(|| (self.computation)(&self, &x, &w))?])
                }));
            }
            Pass::DataGradient => x = x.trainable(),
            Pass::WeightGradient => w = w.trainable(),
        }
        Ok(Box::new(move |watch| {
            let tape = Tape::new();
            let y = (self.computation)(&self, &x.on(&tape), &w)?;
            let grad = grad.clone();
            let mut found = watch.time(|| tape.backward_from(&y, grad))?;
            Ok([&x, &w].into_iter().filter_map(|t| found.take(t)).collect())
        }))
    }

    fn cases(self) -> impl Iterator<Item = Case> {
        let [.., d, h, w, input] = self.x;
        let [kd, kh, kw, _, output] = self.w;
        let stride = self.stride.map(|s| s.to_string()).join(",");
        let layer = format!("{} {input}->{output} {kd}x{kh}x{kw} /{stride} at {d}x{h}x{w}", self.operation);
        Pass::ALL.into_iter().map(move |pass| Case {
            name: format!("{layer} {}", pass.name()),
            what: json!({
                "operation": self.operation, "x": self.x, "w": self.w, "y": self.y,
                "stride": self.stride, "padding": self.padding, "pass": pass.name(),
            }),
            work: Work::Flops(self.flops),
            prepare: Box::new(move || self.round(pass)),
        })
    }
}

/// The layer of a case of either operation's table, whose output, strides, padding and arithmetic are given.
fn layer<S>(
    operation: &'static str,
    case: &conv3d::cases::Case<S>,
    (y, stride, padding, flops): ([usize; 5], [usize; 3], [usize; 3], f64),
    computation: Computation,
) -> Layer {
    Layer { operation, x: case.x(), w: case.w(), y, stride, padding, flops, computation }
}

/// Three cases for each layer of the operations' tables.
pub(crate) fn cases() -> Vec<Case> {
    let plain = conv3d::cases::LAYERS.iter().map(|case| {
        let shape = (case.y(), case.settings.stride, case.settings.padding, case.flops());
        layer("conv3d", case, shape, |&Layer { stride, padding, .. }, x, w| {
            conv3d(x, w, None, &conv3d::Conv3d { stride, padding, ..Default::default() })
        })
    });
    let transposed = conv_transpose3d::cases::LAYERS.iter().map(|case| {
        let shape = (case.y(), case.settings.stride, case.settings.padding, case.flops());
        layer("conv_transpose3d", case, shape, |&Layer { stride, padding, .. }, x, w| {
            let settings = conv_transpose3d::ConvTranspose3d { stride, padding, ..Default::default() };
            conv_transpose3d(x, w, None, &settings)
        })
    });
    plain.chain(transposed).flat_map(Layer::cases).collect()
}
