//! How well a segmentation agrees with the truth.

mod assignment;
mod bootstrap;
mod centroids;
mod matching;
mod outcomes;
mod overlaps;
mod partition;
mod semantic;
mod surface;
mod tracking_challenge;

pub use bootstrap::bootstrap_interval;
pub use centroids::match_centroids;
pub use matching::{Criterion, Matching, match_slices};
pub use outcomes::{MatchedPair, TrueOutcome};
pub use overlaps::{Overlap, Overlaps};
pub use partition::{AdaptedRand, Counted, VariationOfInformation};
pub use semantic::{dice, foreground_iou};
pub use surface::SurfaceDistances;
