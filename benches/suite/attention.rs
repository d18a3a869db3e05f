//! Attention within windows.

use super::{
    Case, Work,
    differentiable::{Operation, Pass, cases as passes, computation},
    inputs::noise,
};
use cellseg_kernels::window_attention::{WindowAttention, cases::LAYERS, window_attention};
use serde_json::json;

/// Forward, and the gradient of queries, keys and values, for each layer of the operation's table.
pub(crate) fn cases() -> Vec<Case> {
    LAYERS
        .iter()
        .flat_map(|case| {
            let what = json!({
                "operation": "window_attention", "heads": case.heads, "dim": case.dim, "window": case.window,
                "table": case.table(),
            });
            let operation = Operation {
                name: format!(
                    "window attention, {} windows, {} heads of {}, {} tokens",
                    case.windows, case.heads, case.dim, case.tokens
                ),
                what,
                x: case.qkv().into(),
                y: case.output().into(),
                make: |what| {
                    let extents = |name: &str| -> super::Result<Vec<usize>> {
                        Ok(serde_json::from_value(what[name].clone())?)
                    };
                    let table = noise(&extents("table")?, 2)?;
                    let window = extents("window")?.try_into().map_err(|_| "a window has three extents")?;
                    let heads = serde_json::from_value(what["heads"].clone())?;
                    let settings = WindowAttention { heads, window, scale: None, regions: None };
                    computation(move |x| window_attention(x, Some(&table), &settings))
                },
            };
            let flops = case.flops();
            passes(
                operation,
                &[(Pass::Forward, Work::Flops(flops)), (Pass::Gradient, Work::Flops(2.5 * flops))],
            )
        })
        .collect()
}
