#![doc = include_str!("../README.md")]

pub use cellseg_core as core;
pub use cellseg_io as io;
pub use cellseg_kernels as kernels;
pub use cellseg_models as models;
pub use cellseg_post as post;

mod config;
mod error;
mod evaluation;
mod labels;
mod networks;
mod segmenter;
mod statistics;
mod stored;
mod training;

pub use config::Config;
pub use error::{Error, Result};
pub use evaluation::{Evaluation, IOU_THRESHOLDS, Score};
pub use labels::read_labels_of_any_size;
pub use networks::{
    read_checkpoint, read_network, read_wnet3d, write_checkpoint, write_network, write_supervised,
};
pub use segmenter::{Segmentation, Segmenter};
pub use statistics::{count_by_region, measure, measure_all, measure_like_cellseg3d, write_table};
pub use stored::{ScratchLabels, StoredVolume, measure_stored, slab};
pub use training::{Labelled, resume, resume_on, resume_supervised, train, train_on, train_supervised};
