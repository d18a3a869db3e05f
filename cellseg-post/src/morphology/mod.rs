//! Changing masks and images by the shapes in them.

mod ball;
mod element;
mod holes;
mod levels;
mod reconstruction;

pub use ball::{close, dilate, erode, open};
pub use element::Element;
pub use holes::fill_holes;
pub use levels::{Level, black_top_hat, grey_close, grey_dilate, grey_erode, grey_open, white_top_hat};
pub use reconstruction::{reconstruct_by_dilation, reconstruct_by_erosion};
