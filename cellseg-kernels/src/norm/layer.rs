//! Layer normalisation over the channels.
//!
//! With `u` the normalised row and `g` the gradient of the output, the gradients are `sum(g * u)` over the rows for the
//! scale, `sum(g)` for the shift, and `(h - mean(h) - u * mean(h * u)) / sqrt(variance + eps)` with `h = gamma * g` for a
//! row. A row's statistics are computed again from the input: that costs less than to read them.

use super::{check, cuda, per_channel};
use crate::pointwise::{
    chunks::{each, whole_rows},
    lanes::{sum, sum_of_pairs},
    same, wide,
};
use cellseg_core::{
    Kernel, Op, Real, Result, Shape, Tensor, apply,
    cuda::{Cuda, CudaBuffer},
    run,
};
use rayon::prelude::*;
use std::sync::Arc;

/// Layer normalisation of each row of channels of `[n, .., c]`, with a scale `gamma` and a shift `beta` for each channel,
/// `[c]` both (Ba, Kiros and Hinton, "Layer normalization", 2016).
///
/// # Errors
/// Other shapes of scale or shift, an `eps` that is negative or not finite; see [`apply`].
pub fn layer_norm(x: &Tensor, gamma: &Tensor, beta: &Tensor, eps: f64) -> Result<Tensor> {
    apply(LayerNorm { eps }, [x.into(), gamma.into(), beta.into()])
}

#[derive(Clone)]
struct LayerNorm {
    eps: f64,
}

/// Rows whose part of the scale's and the shift's gradients is added up in the rows' own type before it is widened.
const BLOCK: usize = 8;

/// The mean and the reciprocal standard deviation of a row.
#[inline(always)]
fn statistics<T: Real>(x: &[T], eps: T) -> (T, T) {
    let count = T::of(x.len() as f64);
    let mean = sum(x, |x| x) / count;
    let squares = sum(x, |x| (x - mean) * (x - mean));
    (mean, T::one() / (squares / count + eps).sqrt())
}

wide! {
    /// Normalises rows as long as `gamma`.
    fn normalise<'a, T: Real>(x: &'a [T], gamma: &'a [T], beta: &'a [T], eps: T, out: &'a mut [T]) -> () {
        let c = gamma.len();
        for (out, x) in out.chunks_exact_mut(c).zip(x.chunks_exact(c)) {
            let (mean, factor) = statistics(x, eps);
            for (((o, x), g), b) in out.iter_mut().zip(x).zip(gamma).zip(beta) {
                *o = (*x - mean) * factor * *g + *b;
            }
        }
    }
}

wide! {
    /// Replaces the gradient of rows as long as `gamma`, and returns the gradients of the scale and of the shift.
    fn gradients<'a, T: Real>(x: &'a [T], gamma: &'a [T], eps: T, grad: &'a mut [T]) -> Vec<f64> {
        let c = gamma.len();
        let mut sums = vec![0.0; 2 * c];
        let mut part = vec![T::zero(); 2 * c];
        for (grad, x) in grad.chunks_mut(BLOCK * c).zip(x.chunks(BLOCK * c)) {
            part.fill(T::zero());
            let (of_gamma, of_beta) = part.split_at_mut(c);
            for (g, x) in grad.chunks_exact_mut(c).zip(x.chunks_exact(c)) {
                row_gradients(x, gamma, eps, g, [of_gamma, of_beta]);
            }
            sums.iter_mut().zip(&part).for_each(|(s, p)| *s += p.wide());
        }
        sums
    }
}

/// Replaces the gradient `g` of one row, and adds to the gradients of the scale and of the shift.
#[inline(always)]
fn row_gradients<T: Real>(x: &[T], gamma: &[T], eps: T, g: &mut [T], [of_gamma, of_beta]: [&mut [T]; 2]) {
    let (mean, factor) = statistics(x, eps);
    let count = T::of(x.len() as f64);
    for ((((of_gamma, of_beta), g), x), gamma) in
        of_gamma.iter_mut().zip(of_beta).zip(&mut *g).zip(x).zip(gamma)
    {
        *of_gamma += *g * ((*x - mean) * factor);
        *of_beta += *g;
        *g *= *gamma;
    }
    let plain = sum(g, |h| h) / count;
    let product = sum_of_pairs(g, x, |h, x| h * (x - mean)) / count * factor * factor;
    g.iter_mut().zip(x).for_each(|(h, x)| *h = (*h - plain - (*x - mean) * product) * factor);
}

impl Kernel<3> for LayerNorm {
    const NAME: &'static str = "layer_norm";
    type Aux = ();

    fn shape(&self, shapes: [Shape; 3]) -> Result<Shape> {
        check(Self::NAME, &shapes, self.eps)
    }

    fn cpu<T: Real>(
        &self,
        [shape, ..]: [Shape; 3],
        [x, gamma, beta]: [&[T]; 3],
        out: &mut [T],
        _: bool,
    ) -> Result<()> {
        let c = shape.channels();
        each(out, c, |at, out| normalise(&x[at..], gamma, beta, T::of(self.eps), out));
        Ok(())
    }

    fn cuda(
        &self,
        device: &Arc<Cuda>,
        [shape, ..]: [Shape; 3],
        inputs: [&CudaBuffer; 3],
        out: &mut CudaBuffer,
        _: bool,
    ) -> Result<()> {
        cuda::layer::forward(device, shape.channels(), self.eps, inputs, out)
    }
}

impl Op<3> for LayerNorm {
    /// The input and the scale.
    type Saved = [Tensor; 2];

    fn save(&self, (): (), [x, gamma, _]: [&Tensor; 3], _: &Tensor) -> [Tensor; 2] {
        [x.detached(), gamma.detached()]
    }

    fn backward(
        &self,
        [x, gamma]: [Tensor; 2],
        grad: Tensor,
        wanted: [bool; 3],
    ) -> Result<[Option<Tensor>; 3]> {
        let dtype = gamma.dtype();
        let kernel = LayerNormGradient { norm: self.clone(), gamma };
        let (of_x, [of_gamma, of_beta]) = run(&kernel, [grad.into(), x.into()])?;
        Ok([
            wanted[0].then_some(of_x),
            wanted[1].then(|| of_gamma.cast(dtype)).transpose()?,
            wanted[2].then(|| of_beta.cast(dtype)).transpose()?,
        ])
    }
}

/// The gradients of [`LayerNorm`] from that of its output and the input.
#[derive(Clone)]
struct LayerNormGradient {
    norm: LayerNorm,
    gamma: Tensor,
}

impl Kernel<2> for LayerNormGradient {
    const NAME: &'static str = "layer_norm gradient";
    const IN_PLACE: bool = true;
    /// The gradients of the scale and the shift.
    type Aux = [Tensor; 2];

    fn shape(&self, [grad, x]: [Shape; 2]) -> Result<Shape> {
        same(Self::NAME, grad, x)
    }

    fn cpu_in_place<T: Real>(
        &self,
        [shape, _]: [Shape; 2],
        [_, x]: [&[T]; 2],
        grad: &mut [T],
        _: bool,
    ) -> Result<[Tensor; 2]> {
        let (c, gamma) = (shape.channels(), self.gamma.cast(T::DTYPE)?);
        let gamma = gamma.as_slice::<T>()?;
        let piece = whole_rows(c);
        let parts: Vec<Vec<f64>> = grad
            .par_chunks_mut(piece)
            .zip(x.par_chunks(piece))
            .map(|(grad, x)| gradients(x, gamma, T::of(self.norm.eps), grad))
            .collect();
        let mut sums = vec![0.0; 2 * c];
        for part in &parts {
            sums.iter_mut().zip(part).for_each(|(s, p)| *s += *p);
        }
        Ok([per_channel::<T>(&sums[..c])?, per_channel::<T>(&sums[c..])?])
    }

    fn cuda(
        &self,
        device: &Arc<Cuda>,
        [shape, _]: [Shape; 2],
        inputs: [&CudaBuffer; 2],
        out: &mut CudaBuffer,
        _: bool,
    ) -> Result<[Tensor; 2]> {
        cuda::layer::backward(device, shape.channels(), self.norm.eps, &self.gamma, inputs, out)
    }
}
