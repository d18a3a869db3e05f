//! Reading and writing volumes, weights, tables and previews, and making synthetic volumes.

pub mod synth;
