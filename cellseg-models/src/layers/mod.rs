//! Layers: plain structs of named parameters.
//!
//! A layer's parameters have the names and, on their way in and out, the memory layout of PyTorch's state dict, so that
//! published weights load without a table of names. Inside, kernels are channels last; the transposition happens once,
//! when weights are loaded or given out.
//!
//! Layers compute in the type of their input, whatever the type of their parameters is.

mod batch_norm;
mod channel_dropout;
mod conv;
mod group_norm;
mod instance_norm;
mod layer_norm;
mod linear;
mod module;
mod parameter;
mod window_attention;

pub use batch_norm::BatchNorm;
pub(crate) use batch_norm::Gathering;
pub(crate) use channel_dropout::channel_dropout;
pub use conv::{Conv3d, ConvTranspose3d};
pub use group_norm::GroupNorm;
pub(crate) use instance_norm::instance_norm;
pub use layer_norm::LayerNorm;
pub(crate) use layer_norm::plain_layer_norm;
pub use linear::Linear;
pub use module::Module;
pub(crate) use module::{join, module};
pub use parameter::{Layout, Parameter};
pub use window_attention::WindowAttention;
