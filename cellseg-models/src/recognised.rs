//! The network that weights are of.

use crate::{
    Network, Result, SegResNet, SwinUnetr, Trailmap, VNet, WNet3d, segresnet, swin_unetr, trailmap, vnet,
    weights::{State, recognise},
};
use std::collections::BTreeMap;

/// The network whose names these are, with these weights. `settings` are those of [`Network::settings`], where the weights
/// came with any.
///
/// # Errors
/// [`Error::Weights`](crate::Error::Weights) names the first tensor that does not fit, and
/// [`Error::Setting`](crate::Error::Setting) a setting that is not known. Names of no known network are compared with those
/// of WNet3D.
pub fn network_of(state: &State, settings: &BTreeMap<String, String>) -> Result<Box<dyn Network>> {
    match recognise(state) {
        Some(swin_unetr::NAME) => Ok(SwinUnetr::from_state(state)?.with_settings(settings)?.into()),
        Some(segresnet::NAME) => Ok(SegResNet::from_state(state)?.into()),
        Some(vnet::NAME) => Ok(VNet::from_state(state)?.into()),
        Some(trailmap::NAME) => Ok(Trailmap::from_state(state)?.into()),
        _ => Ok(WNet3d::from_state(state)?.into()),
    }
}
