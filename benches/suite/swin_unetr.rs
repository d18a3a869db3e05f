//! SwinUNETR of CellSeg3D's size on its patches: inference, and the gradients of a step of training.

use super::{Case, Result, Round, Work, inputs::single, place::place};
use cellseg_core::{Tape, Tensor};
use cellseg_kernels::loss::bce_with_logits;
use cellseg_models::{PassMode, SwinUnetr, SwinUnetrConfig};
use serde_json::json;

/// Voxels along each edge of a patch.
const EDGE: usize = 64;

/// Operations of the convolutions and linear layers on a patch; those of attention, some hundredths more, are left out.
fn flops() -> f64 {
    let width = SwinUnetrConfig::paper().feature_size;
    let at = |edge: usize, products: usize| (edge.pow(3) * products) as f64;
    // A residual block, with a convolution of one voxel where the channels differ.
    let residual =
        |cin: usize, cout: usize| 27 * (cin + cout) * cout + if cin == cout { 0 } else { cin * cout };
    let mut products = at(EDGE, residual(1, width) + residual(2 * width, width) + width * width + width);
    for level in 0..4 {
        let (width, edge) = (width << level, EDGE >> (level + 1));
        // Of a stage the residual block, two blocks of attention, and merging; then, on the way up, what lies beside it.
        products += at(edge, residual(width, width) + 2 * 12 * width * width + 2 * width * width);
        let beside = if level < 3 { residual(width, width) } else { 0 };
        products += at(edge, beside + residual(2 * width, width) + 2 * width * width);
    }
    products += at(EDGE / 32, residual(16 * width, 16 * width));
    2.0 * products
}

fn network() -> Result<SwinUnetr> {
    Ok(SwinUnetr::new(&SwinUnetrConfig::paper(), 0)?.with_compute(place().compute).to(&place().device)?)
}

fn inference() -> Result<Round> {
    let (network, x) = (network()?, single(&[1, EDGE, EDGE, EDGE, 1], 1)?);
    Ok(Box::new(move |watch| Ok(vec![watch.time(|| network.logits(&x, &PassMode::default()))?])))
}

fn training() -> Result<Round> {
    let (network, x) = (network()?, single(&[1, EDGE, EDGE, EDGE, 1], 1)?);
    let target = Tensor::full(1.0f32, x.shape().dims())?.to(&place().device)?;
    let mut key = 0;
    Ok(Box::new(move |watch| {
        key += 1;
        watch.time(|| -> Result<_> {
            let tape = Tape::new();
            let logits =
                network.logits(&x.on(&tape), &PassMode { dropout_key: Some(key), checkpoint: false })?;
            Ok(tape.backward(&bce_with_logits(&logits, &target)?)?)
        })?;
        Ok(vec![])
    }))
}

pub(crate) fn cases() -> Vec<Case> {
    let what = |pass| json!({ "operation": "swin_unetr", "pass": pass, "edge": EDGE });
    vec![
        Case {
            name: "swin_unetr 64^3 inference".into(),
            what: what("inference"),
            work: Work::Flops(flops()),
            prepare: Box::new(inference),
        },
        Case {
            name: "swin_unetr 64^3 forward and gradients".into(),
            what: what("forward and gradients"),
            work: Work::Flops(3.0 * flops()),
            prepare: Box::new(training),
        },
    ]
}
