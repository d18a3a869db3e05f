//! Changing masks by their shape.

mod ball;
mod holes;

pub use ball::{close, dilate, erode, open};
pub use holes::fill_holes;
