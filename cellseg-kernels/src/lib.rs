//! The operations of cellseg: 3D convolution, norms, SoftNCuts and the rest, each with its gradient.

pub mod pointwise;
