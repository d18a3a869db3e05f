//! The operations of cellseg: 3D convolution, norms, SoftNCuts and the rest, each with its gradient.

pub mod concat;
pub mod conv3d;
pub mod conv_transpose3d;
pub mod dropout;
pub mod loss;
pub mod norm;
pub mod optim;
pub mod pointwise;
pub mod pool;
pub mod reduce;
pub mod resample;
mod scratch;
pub mod simd;
mod sizes;
pub mod soft_ncuts;
pub mod softmax;
mod walk;
pub mod window_attention;
