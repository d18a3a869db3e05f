//! The gradient of the normalisation of groups.
//!
//! With `u = (x - mean) / sqrt(variance + eps)`, `m` numbers in a group and `g` the gradient of the norm's output, the
//! gradients are `sum(g * u)` for the scale, `sum(g)` for the shift, and for the input
//! `(gamma * g - mean(gamma * g) - u * mean(gamma * g * u)) / sqrt(variance + eps)` with means over the group. The first
//! pass takes the sums, the second finds the input's gradient.
//!
//! Where the statistics were given the terms with means are left out.
//!
//! What stands before or after the norm is computed again from the input, piece by piece, in a cache: memory is the
//! bottleneck, and the recomputation takes none.

use super::{
    cuda,
    group::Computed,
    per_channel,
    pieces::{Pieces, Place},
    rows::{add, combine, folded, normalise_from, products, repeated},
    settings::{self, Norm, Order},
};
use crate::pointwise::same;
use cellseg_core::{
    Kernel, Real, Result, Shape, Tensor,
    cuda::{Cuda, CudaBuffer},
};
use std::sync::Arc;

/// The gradients from that of the output, the input, and the residual where it is needed.
#[derive(Clone)]
pub(super) struct Gradient {
    pub(super) norm: Norm,
    pub(super) gamma: Tensor,
    pub(super) beta: Tensor,
    pub(super) computed: Computed,
    /// Whether the gradient of what went into the last stage is asked for.
    pub(super) keep_stage: bool,
    /// Whether the statistics were given, and do not depend on the input.
    pub(super) is_given: bool,
}

/// What is found along with the gradient of the input.
pub(super) struct Found {
    pub(super) of_gamma: Tensor,
    pub(super) of_beta: Tensor,
    pub(super) of_stage: Option<Tensor>,
}

/// The sums of a piece for each channel: of the gradient, and of its product with the distance from the mean.
type Sums = [Vec<f64>; 2];

/// The mean and the factors `a`, `b` and `s` of the second pass, `dx = g * a + (x - mean) * b + s`, for each number of a
/// wide row.
type Factors<T> = [Vec<T>; 4];

impl Gradient {
    /// The first pass. Where activation and dropout come last, `grad` becomes the gradient of what went into them.
    fn sums<T: Real>(
        &self,
        pieces: &Pieces,
        x: &[T],
        residual: Option<&[T]>,
        coefficients: &[[Vec<T>; 3]],
        grad: &mut [T],
        of_stage: &mut [T],
    ) -> Result<Vec<Sums>> {
        let (stage, masks, c) = (self.norm.stage(), self.computed.masks()?, pieces.channels);
        let kept: Vec<Option<&mut [T]>> = if self.keep_stage {
            pieces.split(of_stage).into_iter().map(Some).collect()
        } else {
            pieces.places().map(|_| None).collect()
        };
        let parts = pieces.split(grad).into_iter().zip(kept).collect();
        Ok(pieces.map(parts, |i, Place { sample, numbers }, (grad, kept), scratch: &mut [T]| {
            let (x, mask) = (&x[numbers.clone()], pieces.mask_of(i, masks));
            let [mean, ..] = &coefficients[sample];
            if stage.is_identity() {
                return products(grad, x, mean).map(|sums| folded(c, &sums));
            }
            if self.norm.order == Order::NormLast {
                scratch.copy_from_slice(x);
                settings::forward(&stage, mask, scratch);
                return products(grad, scratch, mean).map(|sums| folded(c, &sums));
            }
            normalise_from(&coefficients[sample], x, scratch);
            if let Some(residual) = residual {
                add(scratch, &residual[numbers]);
            }
            settings::backward(&stage, mask, grad, scratch);
            if let Some(kept) = kept {
                kept.copy_from_slice(grad);
            }
            products(grad, x, mean).map(|sums| folded(c, &sums))
        }))
    }

    /// The second pass.
    fn finish<T: Real>(
        &self,
        pieces: &Pieces,
        x: &[T],
        coefficients: &[Factors<T>],
        grad: &mut [T],
    ) -> Result<()> {
        let (stage, masks) = (self.norm.stage(), self.computed.masks()?);
        pieces.map(pieces.split(grad), |i, Place { sample, numbers }, grad, scratch: &mut [T]| {
            let x = &x[numbers];
            if self.norm.order == Order::NormFirst || stage.is_identity() {
                return combine(x, &coefficients[sample], grad);
            }
            let mask = pieces.mask_of(i, masks);
            scratch.copy_from_slice(x);
            settings::forward(&stage, mask, scratch);
            combine(scratch, &coefficients[sample], grad);
            settings::backward(&stage, mask, grad, x);
        });
        Ok(())
    }

    /// The sums over all voxels and samples that are the gradients of the scale and the shift, and each sample's factors.
    fn reduce<T: Real>(
        &self,
        pieces: &Pieces,
        gamma: &[T],
        coefficients: Vec<[Vec<T>; 3]>,
        parts: &[Sums],
    ) -> Result<(Sums, Vec<Factors<T>>)> {
        let (c, groups) = (pieces.channels, self.norm.groups);
        let width = c / groups;
        let count = (pieces.rows * width) as f64;
        let statistics = self.computed.statistics.as_slice::<T>()?;
        let [mut of_gamma, mut of_beta] = [vec![0.0; c], vec![0.0; c]];
        let mut finished = Vec::with_capacity(pieces.samples);
        for (n, [mean, a, _]) in coefficients.into_iter().enumerate() {
            let factor = |channel: usize| statistics[(2 * n + 1) * groups + channel / width].wide();
            let [mut plain, mut product] = [vec![0.0; c], vec![0.0; c]];
            for [p, q] in &parts[n * pieces.per_sample()..][..pieces.per_sample()] {
                plain.iter_mut().zip(p).for_each(|(sum, p)| *sum += p);
                product.iter_mut().zip(q).for_each(|(sum, q)| *sum += q);
            }
            for i in 0..c {
                of_gamma[i] += product[i] * factor(i);
                of_beta[i] += plain[i];
            }
            let over = |sums: &[f64], channel: usize| {
                if self.is_given {
                    return 0.0;
                }
                let first = channel / width * width;
                (first..first + width).map(|i| gamma[i].wide() * sums[i]).sum::<f64>() / count
            };
            let b: Vec<T> = (0..c).map(|i| T::of(-factor(i).powi(3) * over(&product, i))).collect();
            let s: Vec<T> = (0..c).map(|i| T::of(-factor(i) * over(&plain, i))).collect();
            finished.push([mean, a, repeated(c, |i| b[i]), repeated(c, |i| s[i])]);
        }
        Ok(([of_gamma, of_beta], finished))
    }
}

impl<const N: usize> Kernel<N> for Gradient {
    const NAME: &'static str = "group_norm gradient";
    const IN_PLACE: bool = true;
    type Aux = Found;

    fn shape(&self, shapes: [Shape; N]) -> Result<Shape> {
        same(<Self as Kernel<N>>::NAME, shapes[0], shapes[1])
    }

    fn cpu_in_place<T: Real>(
        &self,
        shapes: [Shape; N],
        inputs: [&[T]; N],
        grad: &mut [T],
        _: bool,
    ) -> Result<Found> {
        let (pieces, x, residual) = (Pieces::of(shapes[0].dims()), inputs[1], inputs.get(2).copied());
        let [gamma, beta] = [self.gamma.cast(T::DTYPE)?, self.beta.cast(T::DTYPE)?];
        let affine = [gamma.as_slice::<T>()?, beta.as_slice::<T>()?];
        let coefficients = self.computed.coefficients(&pieces, self.norm.groups, affine)?;
        let mut parts = Vec::new();
        let mut first = |of_stage: &mut [T]| {
            parts = self.sums(&pieces, x, residual, &coefficients, grad, of_stage)?;
            Ok(())
        };
        let of_stage = if self.keep_stage {
            Some(Tensor::build(shapes[0].dims(), first)?)
        } else {
            first(&mut [])?;
            None
        };
        let ([of_gamma, of_beta], coefficients) = self.reduce(&pieces, affine[0], coefficients, &parts)?;
        self.finish(&pieces, x, &coefficients, grad)?;
        let [of_gamma, of_beta] = [per_channel::<T>(&of_gamma)?, per_channel::<T>(&of_beta)?];
        Ok(Found { of_gamma, of_beta, of_stage })
    }

    fn cuda(
        &self,
        device: &Arc<Cuda>,
        shapes: [Shape; N],
        inputs: [&CudaBuffer; N],
        out: &mut CudaBuffer,
        _: bool,
    ) -> Result<Found> {
        cuda::group::backward(device, self, shapes[0], &inputs, out)
    }
}
