//! What the sizes of networks and of their inputs may be.

use crate::{Error, Result};
use cellseg_core::{Error as CoreError, Result as CoreResult, Shape};

/// The most channels.
const MOST: usize = 4096;

/// A number of channels at full resolution.
pub(crate) fn width(given: usize, multiple: usize) -> Result<()> {
    if (multiple..=MOST).contains(&given) && given.is_multiple_of(multiple) {
        return Ok(());
    }
    Err(Error::setting("width", given, format!("a multiple of {multiple} from {multiple} to {MOST}")))
}

/// A number of channels of an input or output.
pub(crate) fn channels(field: &'static str, given: usize, least: usize) -> Result<()> {
    if (least..=MOST).contains(&given) {
        return Ok(());
    }
    Err(Error::setting(field, given, format!("a number from {least} to {MOST}")))
}

/// A share of what dropout zeroes.
pub(crate) fn dropout(given: f64) -> Result<()> {
    if (0.0..1.0).contains(&given) {
        return Ok(());
    }
    Err(Error::setting("dropout", given, "a share from 0 to below 1"))
}

/// The extents of an input `[n, d, h, w, c]` for a network that halves them some times.
pub(crate) fn extents(network: &'static str, x: Shape, multiple: usize) -> CoreResult<()> {
    let [_, d, h, w, _] = x.volumes(network)?;
    if [d, h, w].iter().all(|&e| e > 0 && e.is_multiple_of(multiple)) {
        return Ok(());
    }
    let why = format!(
        "an input of {d} x {h} x {w} voxels, where each extent must be a multiple of {multiple}; pad it, or use \
         cellseg_models::infer, which pads and crops back"
    );
    Err(CoreError::argument(network, why))
}

/// The channels of an input `[n, d, h, w, c]`.
pub(crate) fn image_channels(network: &'static str, x: Shape, expected: usize) -> CoreResult<()> {
    let [.., channels] = x.volumes(network)?;
    if channels == expected {
        return Ok(());
    }
    let why = format!("an input of {channels} channels, where the network has {expected}; give as many");
    Err(CoreError::argument(network, why))
}
