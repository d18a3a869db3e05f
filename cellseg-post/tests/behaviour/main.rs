//! What users rely on: touching objects come apart, bad input is a clear error, real volumes score well.

mod artifacts;
mod bad_input;
mod clesperanto;
mod crf;
mod instances;
mod masks;
mod more_scores;
mod real_volumes;
mod scores;
mod tables;
mod thresholds;
