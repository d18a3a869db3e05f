//! A SwinUNETR from its weights.

use super::{Merging, SwinUnetr, SwinUnetrConfig, config::MOST_WINDOW};
use crate::{
    Error, Result,
    weights::{self, State},
};
use cellseg_kernels::window_attention::relative_position_index;
use std::collections::BTreeMap;

pub(crate) const NAME: &str = "SwinUNETR";

/// The setting that says how tokens are merged.
pub(super) const MERGING: &str = "merging";

/// How the names of MONAI's buffers end, which say which bias belongs to which pair of tokens.
const INDEX: &str = ".attn.relative_position_index";

/// How the names of bias tables end.
const TABLE: &str = ".attn.relative_position_bias_table";

impl SwinUnetr {
    /// The network that these weights are of: its sizes are read from their shapes, a cubic window from the bias tables.
    /// How tokens are merged is not in the weights: it is taken to be [`Merging::Monai14`], see
    /// [`SwinUnetr::with_merging`].
    ///
    /// # Errors
    /// [`Error::Weights`] names the first tensor that does not fit; [`Error::Setting`] for a window that is no cube.
    pub fn from_state(state: &State) -> Result<Self> {
        let kernel = |name| weights::kernel(state, name, NAME, || Self::new(&SwinUnetrConfig::default(), 0));
        let first = kernel("swinViT.patch_embed.proj.weight")?;
        let (mut depths, mut heads, mut rows) = ([1; 4], [1; 4], 0);
        for stage in 0..4 {
            let table = |block| format!("swinViT.layers{}.0.blocks.{block}{TABLE}", stage + 1);
            depths[stage] = (0..).take_while(|&block| state.contains_key(&table(block))).count().max(1);
            if let Some(&[found, columns]) = state.get(&table(0)).map(|table| table.shape()) {
                (rows, heads[stage]) = (found, columns);
            }
        }
        let side = (1..=MOST_WINDOW).find(|w| (2 * w - 1).pow(3) == rows);
        let side = side.ok_or_else(|| {
            let given = format!("bias tables of {rows} rows");
            Error::setting("weights", given, "(2w - 1)^3 rows, those of a window of w x w x w tokens")
        })?;
        let config = SwinUnetrConfig {
            in_channels: first[1],
            classes: kernel("out.conv.conv.weight")?[0],
            feature_size: first[0],
            depths,
            heads,
            window: [side; 3],
            merging: Merging::Monai14,
            residual_stages: state.keys().any(|name| name.starts_with("swinViT.layers1c.")),
            ..SwinUnetrConfig::default()
        };
        let mut net = Self::new(&config, 0)?;
        net.load(state)?;
        Ok(net)
    }

    /// Replaces all weights, or none where they do not fit. Buffers of MONAI's are compared with what follows from the
    /// window.
    ///
    /// # Errors
    /// [`Error::Weights`] names the first tensor that does not fit; [`Error::Setting`] for buffers of another window.
    pub fn load(&mut self, state: &State) -> Result<()> {
        let given = state.keys().any(|name| name.ends_with(INDEX));
        let expected = if given { relative_position_index(self.config.window) } else { Vec::new() };
        let mut parameters = State::new();
        for (name, array) in state {
            if !name.ends_with(INDEX) {
                parameters.insert(name.clone(), array.clone());
            } else if !array.iter().map(|&row| row as usize).eq(expected.iter().copied()) {
                let wanted = format!("that of a window {:?} (d, h, w)", self.config.window);
                return Err(Error::setting("weights", format!("another `{name}`"), wanted));
            }
        }
        let architecture = format!("{NAME} of {} features", self.config.feature_size);
        weights::load(self, &architecture, &parameters)
    }

    /// All weights, in PyTorch's layout. MONAI's buffers, which are no weights, are not among them: there, load with
    /// `strict=False`.
    ///
    /// # Errors
    /// Weights that cannot be copied to host memory.
    pub fn state(&self) -> Result<State> {
        weights::state(self)
    }

    /// The same network with tokens merged in another way, which weights do not tell.
    pub fn with_merging(mut self, merging: Merging) -> Self {
        self.config.merging = merging;
        self.swin_vit.set_merging(merging);
        self
    }

    /// The same network with what weights do not tell, as [`Network::settings`](crate::Network::settings) gave it.
    pub(crate) fn with_settings(self, settings: &BTreeMap<String, String>) -> Result<Self> {
        let Some(given) = settings.get(MERGING) else { return Ok(self) };
        let merging = Merging::ALL.into_iter().find(|merging| merging.name() == given);
        let expected = || format!("one of {:?}", Merging::ALL.map(Merging::name));
        Ok(self.with_merging(merging.ok_or_else(|| Error::setting(MERGING, given, expected()))?))
    }

    /// The share of activations that training zeroes, which weights do not tell.
    ///
    /// # Errors
    /// [`Error::Setting`] outside 0 to below 1.
    pub fn with_dropout(mut self, dropout: f64) -> Result<Self> {
        self.config.dropout = dropout;
        self.config.validate()?;
        Ok(self)
    }
}
