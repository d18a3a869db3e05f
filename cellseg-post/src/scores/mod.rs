//! How well a segmentation agrees with the truth.

mod assignment;
mod matching;
mod overlaps;
mod semantic;

pub use matching::{Criterion, Matching, match_slices};
pub use overlaps::{Overlap, Overlaps};
pub use semantic::{dice, foreground_iou};
