//! One named tensor.

use crate::Result;
use cellseg_core::{Result as CoreResult, Rng, Tensor};
use ndarray::{ArrayD, ArrayViewD, Axis, IxDyn};
use std::borrow::Cow;

/// How a parameter's axes are ordered in PyTorch, compared with the order here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layout {
    /// The same in both.
    Plain,
    /// A convolution kernel: `[out, in, kd, kh, kw]` there, `[kd, kh, kw, in, out]` here.
    Conv,
    /// The kernel of a transposed convolution: `[in, out, kd, kh, kw]` there, `[kd, kh, kw, in, out]` here.
    ConvTranspose,
    /// A linear layer, which is a convolution of one voxel: `[out, in]` there, `[1, 1, 1, in, out]` here.
    Linear,
}

impl Layout {
    /// For each axis here, its position in PyTorch.
    fn pytorch_axes(self) -> Option<[usize; 5]> {
        match self {
            Layout::Plain => None,
            Layout::Conv | Layout::Linear => Some([2, 3, 4, 1, 0]),
            Layout::ConvTranspose => Some([2, 3, 4, 0, 1]),
        }
    }
}

/// One named tensor of a layer: a weight that is trained, or a statistic that training gathers, which PyTorch calls a buffer.
#[derive(Debug, Clone)]
pub struct Parameter {
    value: Tensor,
    layout: Layout,
}

impl Parameter {
    /// A weight with the same number everywhere.
    ///
    /// # Errors
    /// Memory that could not be had.
    pub fn full(x: f32, dims: &[usize]) -> Result<Self> {
        Ok(Parameter { value: Tensor::full(x, dims)?.trainable(), layout: Layout::Plain })
    }

    /// A statistic with the same number everywhere.
    ///
    /// # Errors
    /// Memory that could not be had.
    pub fn statistic(x: f32, dims: &[usize]) -> Result<Self> {
        Ok(Parameter { value: Tensor::full(x, dims)?, layout: Layout::Plain })
    }

    /// A weight drawn uniformly from `(-bound, bound)`, with `dims` in the order of this crate.
    ///
    /// # Errors
    /// Memory that could not be had.
    pub fn uniform(bound: f64, dims: &[usize], layout: Layout, rng: &mut Rng) -> Result<Self> {
        let value = Tensor::build(dims, |xs: &mut [f32]| {
            for x in xs {
                *x = ((2.0 * rng.uniform() - 1.0) * bound) as f32;
            }
            Ok(())
        })?;
        Ok(Parameter { value: value.trainable(), layout })
    }

    /// A weight drawn from a normal distribution of mean zero.
    ///
    /// # Errors
    /// Memory that could not be had.
    pub fn normal(deviation: f64, dims: &[usize], rng: &mut Rng) -> Result<Self> {
        let value = Tensor::build(dims, |xs: &mut [f32]| {
            xs.iter_mut().for_each(|x| *x = (rng.normal() * deviation) as f32);
            Ok(())
        })?;
        Ok(Parameter { value: value.trainable(), layout: Layout::Plain })
    }

    /// Whether this is a weight, which has a gradient and is trained.
    pub fn is_trainable(&self) -> bool {
        self.value.wants_gradient()
    }

    /// The numbers, channels last.
    pub fn tensor(&self) -> &Tensor {
        &self.value
    }

    /// The numbers in the type of `x`, which is what an operation on `x` takes. Recorded where `x` is recorded: the gradient
    /// is that of the parameter, in the parameter's own type.
    pub(crate) fn in_type_of(&self, x: &Tensor) -> CoreResult<Cow<'_, Tensor>> {
        if x.dtype() == self.value.dtype() {
            return Ok(Cow::Borrowed(&self.value));
        }
        let value = x.tape().map_or_else(|| self.value.clone(), |tape| self.value.on(tape));
        value.cast(x.dtype()).map(Cow::Owned)
    }

    /// The numbers, to be written to.
    pub fn tensor_mut(&mut self) -> &mut Tensor {
        &mut self.value
    }

    /// Extents in the order of PyTorch.
    pub fn pytorch_dims(&self) -> Vec<usize> {
        let dims = self.value.shape();
        let mut out = dims.dims().to_vec();
        if let Some(axes) = self.layout.pytorch_axes() {
            for (here, there) in axes.into_iter().enumerate() {
                out[there] = dims.dims()[here];
            }
        }
        if self.layout == Layout::Linear {
            out.truncate(2);
        }
        out
    }

    /// A copy of any tensor that is shaped like this parameter, in the order of PyTorch.
    ///
    /// # Errors
    /// Where the tensor does not hold `f32`.
    pub fn export(&self, like: &Tensor) -> Result<ArrayD<f32>> {
        let array = like.to_ndarray::<f32>()?;
        let Some(axes) = self.layout.pytorch_axes() else { return Ok(array) };
        let mut back = [0; 5];
        for (here, there) in axes.into_iter().enumerate() {
            back[there] = here;
        }
        let array = array.permuted_axes(IxDyn(&back)).as_standard_layout().into_owned();
        Ok(array.into_shape_with_order(self.pytorch_dims()).expect("axes of one voxel hold as many numbers"))
    }

    /// A tensor that is shaped like this parameter, from an array in the order of PyTorch whose extents have been
    /// compared with [`Parameter::pytorch_dims`].
    ///
    /// # Errors
    /// Memory that could not be had.
    pub fn import(&self, array: ArrayViewD<'_, f32>) -> Result<Tensor> {
        let mut array = array;
        while self.layout == Layout::Linear && array.ndim() < 5 {
            let last = array.ndim();
            array = array.insert_axis(Axis(last));
        }
        if let Some(axes) = self.layout.pytorch_axes() {
            array = array.permuted_axes(IxDyn(&axes));
        }
        Ok(Tensor::from_ndarray(array)?.to(&self.value.device())?)
    }

    /// Replaces the numbers. `value` is shaped like this parameter.
    pub(crate) fn set(&mut self, value: Tensor) {
        self.value = if self.is_trainable() { value.trainable() } else { value.detached() };
    }
}
