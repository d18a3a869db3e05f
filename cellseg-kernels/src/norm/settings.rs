//! What a normalisation is, and what is computed along with it.

use crate::{
    dropout::{Dropout, mask},
    pointwise::{Activation, wide},
};
use cellseg_core::{Error, Result, Shape};

/// Where the activation and the dropout of a [`Norm`] stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Order {
    /// `dropout(activation(norm(x) + residual))`, as in SegResNet, VNet and the blocks of SwinUNETR.
    #[default]
    NormFirst,
    /// `norm(dropout(activation(x))) + residual`, as in WNet3D.
    NormLast,
}

/// The settings of a group normalisation with an activation and dropout before or after it.
///
/// With as many groups as channels it is an instance normalisation.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Norm {
    /// Groups of neighbouring channels; what is in one group is normalised together.
    pub groups: usize,
    /// Added to the variance.
    pub eps: f64,
    /// The function of each number.
    pub activation: Activation,
    /// What is dropped after the activation; nothing where absent, as in inference.
    pub dropout: Option<Dropout>,
    /// Whether activation and dropout follow or precede.
    pub order: Order,
}

impl Norm {
    /// A normalisation alone, with the `eps` of PyTorch.
    pub fn groups(groups: usize) -> Self {
        Norm { groups, eps: 1e-5, activation: Activation::None, dropout: None, order: Order::NormFirst }
    }

    pub(super) fn check(&self, op: &'static str, x: Shape) -> Result<()> {
        self.activation.check()?;
        self.dropout.map_or(Ok(()), |d| d.check(op))?;
        if self.groups == 0 || !x.channels().is_multiple_of(self.groups) {
            return Err(Error::argument(
                op,
                format!("{} groups do not divide the {} channels of {x:?}", self.groups, x.channels()),
            ));
        }
        Ok(())
    }

    /// The activation and the dropout.
    pub(super) fn stage(&self) -> Stage {
        Stage { activation: self.activation, draw: self.dropout.filter(|d| d.p > 0.0).map(|d| d.draw()) }
    }
}

/// An activation with dropout after it, on pieces of numbers whose mask was drawn before.
#[derive(Debug, Clone, Copy)]
pub(super) struct Stage {
    pub(super) activation: Activation,
    pub(super) draw: Option<mask::Draw>,
}

impl Stage {
    /// Whether nothing changes.
    pub(super) fn is_identity(&self) -> bool {
        self.activation == Activation::None && self.draw.is_none()
    }

    fn scale(&self) -> f64 {
        self.draw.map_or(1.0, |d| d.scale)
    }
}

wide! {
    /// Replaces a piece of numbers by what comes out of the stage.
    pub(super) fn forward<'a, T: Real>(stage: &'a Stage, masks: &'a [mask::Block], data: &'a mut [T]) -> () {
        let scale = T::of(stage.scale());
        if masks.is_empty() {
            return stage.activation.apply_all(data);
        }
        for (data, mask) in data.chunks_mut(mask::BLOCK).zip(masks) {
            stage.activation.apply_all(data);
            mask::apply(mask, scale, data);
        }
    }
}

wide! {
    /// Replaces the gradients of what came out of the stage by those of what went in, `x`.
    pub(super) fn backward<'a, T: Real>(
        stage: &'a Stage,
        masks: &'a [mask::Block],
        grad: &'a mut [T],
        x: &'a [T],
    ) -> () {
        let scale = T::of(stage.scale());
        if masks.is_empty() {
            return stage.activation.gradient_from_input(grad, x);
        }
        for ((grad, x), mask) in grad.chunks_mut(mask::BLOCK).zip(x.chunks(mask::BLOCK)).zip(masks) {
            mask::apply(mask, scale, grad);
            stage.activation.gradient_from_input(grad, x);
        }
    }
}
