//! Weights as named arrays, in and out.
//!
//! A [`State`] is what PyTorch calls a state dict: names and arrays in PyTorch's memory layout. Reading and writing it is
//! the business of `cellseg-io`.

use crate::{
    Error, Result,
    layers::{Module, Parameter},
};
use cellseg_core::{DType, Result as CoreResult, Tensor};
use ndarray::ArrayD;
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

/// Named arrays in PyTorch's memory layout: convolution kernels `[out, in, kd, kh, kw]`, those of transposed
/// convolutions `[in, out, kd, kh, kw]`.
pub type State = BTreeMap<String, ArrayD<f32>>;

/// The weights of a network.
///
/// # Errors
/// Weights that are not `f32`.
pub fn state(network: &(impl Module + ?Sized)) -> Result<State> {
    export(network, |_, p| p.export(p.tensor()).map(Some))
}

/// Replaces all weights of a network. Nothing is changed where a tensor is missing, unexpected, or of another shape.
///
/// # Errors
/// [`Error::Weights`] with the first tensor that does not fit.
pub fn load(network: &mut (impl Module + ?Sized), architecture: &str, state: &State) -> Result<()> {
    let values = import(network, architecture, state, |_| true)?;
    replace(network, values.into_iter().map(|(_, value)| value));
    Ok(())
}

/// Replaces each weight of a network by what `of` makes of it: the same numbers elsewhere, or in another type. Nothing is
/// changed where one cannot be made.
pub(crate) fn change(
    network: &mut (impl Module + ?Sized),
    of: impl Fn(&Tensor) -> CoreResult<Tensor>,
) -> Result<()> {
    let mut values = Vec::new();
    network.each("", &mut |_, p| values.push(of(p.tensor())));
    replace(network, values.into_iter().collect::<CoreResult<Vec<_>>>()?);
    Ok(())
}

/// Converts the weights of a network to another type. Statistics keep theirs.
pub(crate) fn cast(network: &mut (impl Module + ?Sized), dtype: DType) -> Result<()> {
    change(network, |w| if w.wants_gradient() { w.cast(dtype) } else { Ok(w.clone()) })
}

/// Replaces all weights of a network, in the order of its parameters.
fn replace(network: &mut (impl Module + ?Sized), values: impl IntoIterator<Item = Tensor>) {
    let mut values = values.into_iter();
    network.each_mut("", &mut |_, p| {
        if let Some(value) = values.next() {
            p.set(value);
        }
    });
}

/// One array for each parameter of a network, where `of` makes one.
pub(crate) fn export(
    network: &(impl Module + ?Sized),
    mut of: impl FnMut(&str, &Parameter) -> Result<Option<ArrayD<f32>>>,
) -> Result<State> {
    let mut out = Ok(State::new());
    network.each("", &mut |name, p| {
        let Ok(arrays) = &mut out else { return };
        match of(&name, p) {
            Ok(array) => arrays.extend(array.map(|a| (name, a))),
            Err(e) => out = Err(e),
        }
    });
    out
}

/// One tensor for each parameter of a network that is `wanted`, in the order of its parameters.
pub(crate) fn import(
    network: &(impl Module + ?Sized),
    what: &str,
    state: &State,
    wanted: impl Fn(&Parameter) -> bool,
) -> Result<Vec<(String, Tensor)>> {
    let mut expected = Vec::new();
    network.each("", &mut |name, p| {
        if wanted(p) {
            expected.push((name, p));
        }
    });
    compare(what, &expected, state)?;
    expected
        .into_iter()
        .map(|(name, p)| {
            let value = p.import(state[&name].view())?;
            Ok((name, value))
        })
        .collect()
}

fn compare(architecture: &str, expected: &[(String, &Parameter)], state: &State) -> Result<()> {
    let known: BTreeSet<&str> = expected.iter().map(|(name, _)| name.as_str()).collect();
    let shape = expected.iter().find_map(|(name, p)| {
        let found = state.get(name)?.shape();
        let wanted = p.pytorch_dims();
        (found != wanted).then(|| (name.clone(), found.to_vec(), wanted))
    });
    let missing: Vec<String> =
        expected.iter().map(|(name, _)| name.clone()).filter(|n| !state.contains_key(n)).collect();
    let unexpected: Vec<String> = state.keys().filter(|n| !known.contains(n.as_str())).cloned().collect();
    if shape.is_none() && missing.is_empty() && unexpected.is_empty() {
        return Ok(());
    }
    Err(Error::Weights(Box::new(Mismatch {
        architecture: architecture.to_owned(),
        shape,
        missing,
        unexpected,
        looks_like: recognise(state),
    })))
}

/// The extents of a convolution kernel, `[out, in, kd, kh, kw]`, which tell a network's sizes. Where there is no such kernel
/// the weights are compared with those of a `typical` network, for want of a size.
///
/// # Errors
/// [`Error::Weights`] where there is no such kernel.
pub(crate) fn kernel<'a, M: Module>(
    state: &'a State,
    name: &str,
    architecture: &str,
    typical: impl FnOnce() -> Result<M>,
) -> Result<&'a [usize]> {
    let found = state.get(name).map(|array| array.shape());
    if let Some(dims) = found.filter(|dims| dims.len() == 5) {
        return Ok(dims);
    }
    let mut expected = BTreeMap::new();
    typical()?.each("", &mut |name, p| {
        expected.insert(name, p.pytorch_dims());
    });
    let shape =
        found.zip(expected.get(name)).map(|(found, dims)| (name.to_owned(), found.to_vec(), dims.clone()));
    Err(Error::Weights(Box::new(Mismatch {
        architecture: architecture.to_owned(),
        shape,
        missing: expected.keys().filter(|n| !state.contains_key(*n)).cloned().collect(),
        unexpected: state.keys().filter(|n| !expected.contains_key(*n)).cloned().collect(),
        looks_like: recognise(state),
    })))
}

/// Why weights do not fit a network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mismatch {
    /// What they were to be loaded into.
    pub architecture: String,
    /// The first tensor of another shape: its name, the shape found, the shape expected.
    pub shape: Option<(String, Vec<usize>, Vec<usize>)>,
    /// Names that the network has and the weights have not.
    pub missing: Vec<String>,
    /// Names that the weights have and the network has not.
    pub unexpected: Vec<String>,
    /// The network that the names belong to, where they are known.
    pub looks_like: Option<&'static str>,
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the arrays do not fit {}", self.architecture)?;
        let mut separator = ": ";
        if let Some((name, found, expected)) = &self.shape {
            write!(f, "{separator}`{name}` is {found:?} where {expected:?} is expected")?;
            separator = "; ";
        }
        for (what, names) in [("missing", &self.missing), ("unexpected", &self.unexpected)] {
            if !names.is_empty() {
                let first = names.iter().take(3).map(|n| format!("`{n}`")).collect::<Vec<_>>().join(", ");
                let more = if names.len() > 3 { ", ..." } else { "" };
                write!(f, "{separator}{} {what} ({first}{more})", names.len())?;
                separator = "; ";
            }
        }
        if let Some(name) = self.looks_like {
            write!(
                f,
                "{separator}the names are those of {name}; choose the file or the model that belong together"
            )?;
        }
        Ok(())
    }
}

/// Names that only one of the networks of CellSeg3D has.
const SIGNATURES: [(&str, &str); 6] = [
    ("swinViT.", "SwinUNETR"),
    ("encoders.0.basic_module.", "TRAILMAP_MS"),
    ("in_tr.conv_block.", "VNet"),
    ("convInit.", "SegResNet"),
    ("in_b.module.", "WNet3D"),
    ("encoder.in_b.module.", "WNet3D"),
];

/// The network whose names these are, where it is known.
pub fn recognise(state: &State) -> Option<&'static str> {
    SIGNATURES
        .iter()
        .find(|(prefix, _)| state.keys().any(|name| name.starts_with(prefix)))
        .map(|(_, network)| *network)
}
