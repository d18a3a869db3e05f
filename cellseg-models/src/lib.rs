//! The networks of cellseg, their training and their sliding-window inference.
//!
//! | module | what |
//! |---|---|
//! | [`wnet3d`] | the network that learns without labels: two U-Nets, the paper's or a small one for CPUs |
//! | [`segresnet`], [`trailmap`], [`vnet`] | networks that learn from labels, as CellSeg3D has them |
//! | [`swin_unetr`] | a network that learns from labels, with attention within windows |
//! | [`train`] | learning to segment from volumes, without labels or with them |
//! | [`infer`] | a map of each class of a volume of any size |
//! | [`intensity`] | camera counts to the numbers that networks take |
//! | [`augment`] | a labelled patch as the microscope might also have seen it |
//! | [`losses`] | what a network is asked to minimise, given labels |
//! | [`weights`] | weights as named arrays, in PyTorch's layout |
//! | [`layers`] | what networks are made of |
//!
//! This crate reads and writes no file and prints nothing: volumes come as array views, weights and checkpoints go as
//! named arrays, progress is told to an observer.

pub mod augment;
mod compute;
mod error;
pub mod infer;
pub mod intensity;
pub mod layers;
mod limits;
pub mod losses;
mod network;
mod pass;
mod recognised;
pub mod segresnet;
pub mod swin_unetr;
pub mod trailmap;
pub mod train;
pub mod vnet;
mod volume;
pub mod weights;
pub mod wnet3d;

pub use compute::Compute;
pub use error::{Error, Result};
pub use network::{Network, OutputActivation, PassMode};
pub use recognised::network_of;
pub use segresnet::{SegResNet, SegResNetConfig};
pub use swin_unetr::{SwinUnetr, SwinUnetrConfig};
pub use trailmap::{Trailmap, TrailmapConfig};
pub use vnet::{VNet, VNetConfig};
pub use volume::VolumeView;
pub use wnet3d::{WNet3d, WNet3dConfig};
