//! VNet: a U-Net of five levels that learns residuals with convolutions of 5^3.
//!
//! The network is that of Milletari, Navab and Ahmadi ("V-Net", 3DV 2016) as MONAI builds it and CellSeg3D configures it:
//! with biases on the way down, batch normalisation and ELU, whole channels dropped in training. Convolutions of stride 2
//! lead down and transposed ones up. Parameter names are those of its state dict, 164 tensors.

mod config;
mod convolution;
mod network;
mod state;
mod transition;

pub use config::VNetConfig;
pub(crate) use state::NAME;

use crate::{
    Compute, PassMode, Result,
    compute::widened,
    layers::{Gathering, module},
    limits,
    pass::Pass,
};
use cellseg_core::{Rng, Tensor};
use transition::{DownTransition, InputTransition, OutputTransition, UpTransition};

/// Extents of an input are multiples of this: they are halved four times.
pub const EXTENT_MULTIPLE: usize = 16;

/// A VNet.
#[derive(Debug, Clone)]
pub struct VNet {
    config: VNetConfig,
    compute: Compute,
    in_tr: InputTransition,
    down_tr32: DownTransition,
    down_tr64: DownTransition,
    down_tr128: DownTransition,
    down_tr256: DownTransition,
    up_tr256: UpTransition,
    up_tr128: UpTransition,
    up_tr64: UpTransition,
    up_tr32: UpTransition,
    out_tr: OutputTransition,
}

module!(VNet {
    "in_tr" => in_tr,
    "down_tr32" => down_tr32,
    "down_tr64" => down_tr64,
    "down_tr128" => down_tr128,
    "down_tr256" => down_tr256,
    "up_tr256" => up_tr256,
    "up_tr128" => up_tr128,
    "up_tr64" => up_tr64,
    "up_tr32" => up_tr32,
    "out_tr" => out_tr,
});

impl VNet {
    /// A network with random weights: the same for the same seed.
    ///
    /// # Errors
    /// [`Error::Setting`](crate::Error::Setting) where `config` is out of range, or memory that could not be had.
    pub fn new(config: &VNetConfig, seed: u64) -> Result<Self> {
        config.validate()?;
        let mut rng = Rng::new(seed).stream(0);
        let rng = &mut rng;
        let [a, b, c, d, e] = [1, 2, 4, 8, 16].map(|factor| factor * config.width);
        Ok(VNet {
            in_tr: InputTransition::new(config.in_channels, a, rng)?,
            down_tr32: DownTransition::new(a, 1, false, rng)?,
            down_tr64: DownTransition::new(b, 2, false, rng)?,
            down_tr128: DownTransition::new(c, 3, true, rng)?,
            down_tr256: DownTransition::new(d, 2, true, rng)?,
            up_tr256: UpTransition::new([e, e], 2, true, rng)?,
            up_tr128: UpTransition::new([e, d], 2, true, rng)?,
            up_tr64: UpTransition::new([d, c], 1, false, rng)?,
            up_tr32: UpTransition::new([c, b], 1, false, rng)?,
            out_tr: OutputTransition::new(b, config.classes, rng)?,
            config: config.clone(),
            compute: Compute::F32,
        })
    }

    /// The sizes.
    pub fn config(&self) -> &VNetConfig {
        &self.config
    }

    /// The share of channels that training zeroes, which weights do not tell.
    ///
    /// # Errors
    /// [`Error::Setting`](crate::Error::Setting) outside 0 to below 1.
    pub fn with_dropout(mut self, dropout: f64) -> Result<Self> {
        self.config.dropout = dropout;
        self.config.validate()?;
        Ok(self)
    }

    /// `[n, d, h, w, in_channels]` to `[n, d, h, w, classes]`, without an activation at the end. Batch normalisations use
    /// the statistics of the batch where there is a `gathering` for them, else the running ones.
    fn forward(&self, image: &Tensor, mode: &PassMode, gathering: Option<&Gathering>) -> Result<Tensor> {
        limits::extents(state::NAME, image.shape(), EXTENT_MULTIPLE)?;
        limits::image_channels(state::NAME, image.shape(), self.config.in_channels)?;
        let pass = |block| Pass::of_block(mode, self.config.dropout, block).with_gathering(gathering);
        let down = |transition: &DownTransition, block, x: &Tensor| {
            let transition = transition.clone();
            pass(block).run(x, move |x, pass| transition.forward(x, pass))
        };
        let up = |transition: &UpTransition, block, below: &Tensor, level: &Tensor| {
            let (transition, pass) = (transition.clone(), pass(block));
            let joined = transition.joined(below, level, &pass)?;
            pass.run(&joined, move |x, pass| transition.forward(x, pass))
        };
        let (first, last) = (self.in_tr.clone(), self.out_tr.clone());
        let x = image.cast(self.compute.dtype())?;
        let x16 = pass(0).run(&x, move |x, pass| first.forward(x, pass))?;
        let x32 = down(&self.down_tr32, 1, &x16)?;
        let x64 = down(&self.down_tr64, 2, &x32)?;
        let x128 = down(&self.down_tr128, 3, &x64)?;
        let x256 = down(&self.down_tr256, 4, &x128)?;
        let y = up(&self.up_tr256, 5, &x256, &x128)?;
        let y = up(&self.up_tr128, 6, &y, &x64)?;
        let y = up(&self.up_tr64, 7, &y, &x32)?;
        let y = up(&self.up_tr32, 8, &y, &x16)?;
        Ok(widened(pass(9).run(&y, move |y, pass| last.forward(y, pass))?)?)
    }
}
