//! TRAILMAP: a 3D U-Net with batch normalisation that finds cells, as CellSeg3D's `TRAILMAP_MS`.
//!
//! The task is that of TRAILMAP (Friedmann et al., PNAS 2020); the network is the `UNet3D` of Wolny et al. (eLife 2020),
//! after Çiçek et al. (MICCAI 2016): four levels, pooling by maximum on the way down, nearest neighbours on the way up, and
//! each level's output concatenated before what comes up from below. Parameter names are those of its state dict, 86
//! tensors.

mod block;
mod config;
mod network;
mod state;

pub use config::TrailmapConfig;
pub(crate) use state::NAME;

use crate::{
    Compute, PassMode, Result,
    compute::widened,
    layers::{Conv3d, Gathering, module},
    pass::Pass,
};
use block::DoubleConv;
use cellseg_core::{Error as CoreError, Result as CoreResult, Rng, Tensor};
use cellseg_kernels::{
    concat::concat,
    pool::max_pool3d,
    resample::{Interpolation, resize},
};

/// The least extent of an input: there are three poolings by 2.
pub const LEAST_EXTENT: usize = 8;

/// A TRAILMAP network.
#[derive(Debug, Clone)]
pub struct Trailmap {
    config: TrailmapConfig,
    compute: Compute,
    encoders: Vec<DoubleConv>,
    decoders: Vec<DoubleConv>,
    final_conv: Conv3d,
}

module!(Trailmap { "encoders" => encoders, "decoders" => decoders, "final_conv" => final_conv });

impl Trailmap {
    /// A network with random weights: the same for the same seed.
    ///
    /// # Errors
    /// [`Error::Setting`](crate::Error::Setting) where `config` is out of range, or memory that could not be had.
    pub fn new(config: &TrailmapConfig, seed: u64) -> Result<Self> {
        config.validate()?;
        let mut rng = Rng::new(seed).stream(0);
        let widths = [1, 2, 4, 8].map(|factor| factor * config.width);
        let mut cin = config.in_channels;
        let mut encoders = Vec::new();
        for cout in widths {
            encoders.push(DoubleConv::new([cin, cin.max(cout / 2), cout], &mut rng)?);
            cin = cout;
        }
        let mut decoders = Vec::new();
        for cout in widths.into_iter().rev().skip(1) {
            decoders.push(DoubleConv::new([cin + cout, cout, cout], &mut rng)?);
            cin = cout;
        }
        let final_conv = Conv3d::new(cin, config.classes, 1, &mut rng)?;
        Ok(Trailmap { config: config.clone(), compute: Compute::F32, encoders, decoders, final_conv })
    }

    /// The sizes.
    pub fn config(&self) -> &TrailmapConfig {
        &self.config
    }

    /// `[n, d, h, w, in_channels]` to `[n, d, h, w, classes]`, without an activation at the end. Batch normalisations use
    /// the statistics of the batch where there is a `gathering` for them, else the running ones.
    fn forward(&self, image: &Tensor, mode: &PassMode, gathering: Option<&Gathering>) -> Result<Tensor> {
        let [_, d, h, w, _] = image.shape().volumes(state::NAME)?;
        if [d, h, w].iter().any(|&e| e < LEAST_EXTENT) {
            let why = format!(
                "an input of {d} x {h} x {w} voxels, where each extent must be {LEAST_EXTENT} at least; pad it, or use \
                 cellseg_models::infer, which pads and crops back"
            );
            return Err(CoreError::argument(state::NAME, why).into());
        }
        let run = |block: &DoubleConv, x: &Tensor| {
            let block = block.clone();
            // There is no dropout.
            let pass = Pass::of_block(mode, 0.0, 0).with_gathering(gathering);
            pass.run(x, move |x, pass| block.forward(x, pass))
        };
        let mut x = image.cast(self.compute.dtype())?;
        let mut levels: Vec<Tensor> = Vec::new();
        for encoder in &self.encoders {
            if let Some(above) = levels.last() {
                x = max_pool3d(above, [2; 3])?;
            }
            x = run(encoder, &x)?;
            levels.push(x.clone());
        }
        for (decoder, level) in self.decoders.iter().zip(levels.into_iter().rev().skip(1)) {
            x = run(decoder, &concat([&level, &enlarged(&x, &level)?])?)?;
        }
        Ok(widened(self.final_conv.forward(&x)?)?)
    }
}

/// `x` with the extents of `level`.
fn enlarged(x: &Tensor, level: &Tensor) -> CoreResult<Tensor> {
    let [_, d, h, w, _] = level.shape().volumes(state::NAME)?;
    resize(x, [d, h, w], Interpolation::Nearest)
}
