//! The size of a SwinUNETR.

use crate::{Error, Result, limits};
use serde::{Deserialize, Serialize};

/// How the tokens of 2 x 2 x 2 neighbours follow each other where tokens twice as coarse along each axis are
/// made of them.
///
/// Weights do not tell which it is, and with another one they are worthless.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Merging {
    /// MONAI's "merging" until its version 1.4: by mistake two of the eight tokens are taken twice and two are not taken.
    /// Weights that CellSeg3D has published were trained so.
    #[default]
    Monai14,
    /// MONAI's "merging" from version 1.5 on: each token once, those with fewer odd coordinates first.
    Monai15,
    /// MONAI's "mergingv2": each token once, in the order of memory.
    V2,
}

impl Merging {
    /// All of them.
    pub const ALL: [Merging; 3] = [Merging::Monai14, Merging::Monai15, Merging::V2];

    /// The name in settings.
    pub fn name(self) -> &'static str {
        match self {
            Merging::Monai14 => "monai14",
            Merging::Monai15 => "monai15",
            Merging::V2 => "v2",
        }
    }

    /// The tokens in their order, token `(z, y, x)` being number `4 z + 2 y + x`.
    pub(super) fn order(self) -> [usize; 8] {
        match self {
            Merging::Monai14 => [0, 4, 2, 1, 5, 2, 1, 7],
            Merging::Monai15 => [0, 4, 2, 1, 6, 5, 3, 7],
            Merging::V2 => [0, 1, 2, 3, 4, 5, 6, 7],
        }
    }
}

/// The most tokens of a window along an axis.
pub(super) const MOST_WINDOW: usize = 16;

/// How large a SwinUNETR is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SwinUnetrConfig {
    /// Channels of the image.
    pub in_channels: usize,
    /// Channels of the output, one for each class.
    pub classes: usize,
    /// Channels at full resolution; each of the four stages of attention doubles them. 48 in the paper, and a multiple of
    /// 12 in MONAI.
    pub feature_size: usize,
    /// Blocks of attention in each stage.
    pub depths: [usize; 4],
    /// Heads of attention in each stage.
    pub heads: [usize; 4],
    /// Tokens of a window `(d, h, w)`, a cube of at most 16: weights tell no other. Where a volume has fewer, windows have, too.
    pub window: [usize; 3],
    /// How coarser tokens are made.
    pub merging: Merging,
    /// Whether a residual block of convolutions precedes each stage (SwinUNETR-V2, He et al., MICCAI 2023): MONAI's `use_v2`.
    pub residual_stages: bool,
    /// Share of the activations that are zeroed in training, 0 to below 1. 0.5 in CellSeg3D, which zeroes the same share of
    /// the attention's weights, too; this network does not.
    pub dropout: f64,
}

impl SwinUnetrConfig {
    /// The network of CellSeg3D: SwinUNETR-V2 of 48 channels, 72.8 million parameters; with each token merged once.
    pub fn paper() -> Self {
        SwinUnetrConfig { feature_size: 48, dropout: 0.5, ..Self::small() }
    }

    /// A network for CPUs: 12 channels, 4.7 million parameters, a sixteenth of the arithmetic.
    pub fn small() -> Self {
        SwinUnetrConfig {
            in_channels: 1,
            classes: 1,
            feature_size: 12,
            depths: [2; 4],
            heads: [3, 6, 12, 24],
            window: [7; 3],
            merging: Merging::V2,
            residual_stages: true,
            dropout: 0.1,
        }
    }

    /// Checks that a network of this size can be built.
    ///
    /// # Errors
    /// [`Error::Setting`] names the first field out of range.
    pub fn validate(&self) -> Result<()> {
        limits::channels("in_channels", self.in_channels, 1)?;
        limits::channels("classes", self.classes, 1)?;
        limits::channels("feature_size", self.feature_size, 1)?;
        if !self.depths.iter().all(|d| (1..=64).contains(d)) {
            return Err(Error::setting("depths", self.depths, "from 1 to 64 blocks in each stage"));
        }
        if (0..4).any(|i| self.heads[i] == 0 || !(self.feature_size << i).is_multiple_of(self.heads[i])) {
            let channels: [usize; 4] = std::array::from_fn(|i| self.feature_size << i);
            return Err(Error::setting(
                "heads",
                self.heads,
                format!("divisors of the channels {channels:?}"),
            ));
        }
        if !(1..=MOST_WINDOW).contains(&self.window[0]) || self.window != [self.window[0]; 3] {
            let expected = format!("one extent (d, h, w) for all axes, from 1 to {MOST_WINDOW}");
            return Err(Error::setting("window", self.window, expected));
        }
        limits::dropout(self.dropout)
    }
}

impl Default for SwinUnetrConfig {
    fn default() -> Self {
        Self::small()
    }
}
