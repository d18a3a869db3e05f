//! Changing masks by their shape.

mod holes;

pub use holes::fill_holes;
