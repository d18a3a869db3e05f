//! Operations on each number on its own.

mod activation;
pub(crate) mod exponential;

pub use activation::Activation;
