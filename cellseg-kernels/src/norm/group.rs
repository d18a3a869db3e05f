//! The normalisation of groups, with what is computed along with it.

use super::{
    check, cuda,
    gradient::Gradient,
    pieces::{Pieces, Place},
    rows::{add, normalise, normalise_from, repeated},
    settings::{self, Norm, Order},
    statistics,
};
use crate::dropout::mask::{Block, draw};
use cellseg_core::{
    Kernel, Op, Real, Result, Shape, Tensor,
    cuda::{Cuda, CudaBuffer},
    run,
};
use std::sync::{Arc, OnceLock};

/// The operation on an input, a scale and a shift, and a residual if there are four inputs.
#[derive(Debug, Clone)]
pub(super) struct GroupNorm {
    pub(super) norm: Norm,
    pub(super) statistics: Statistics,
}

/// Which means and reciprocal standard deviations, `[n, 2, groups]`, numbers are normalised by.
#[derive(Debug, Clone)]
pub(super) enum Statistics {
    /// Those of the numbers.
    Own,
    /// The same, which are also put here.
    Told(Arc<OnceLock<Tensor>>),
    /// These.
    Given(Tensor),
}

/// What the gradient needs that is computed along with the output.
#[derive(Debug, Clone)]
pub(super) struct Computed {
    /// Means and reciprocal standard deviations, `[n, 2, groups]`.
    pub(super) statistics: Tensor,
    /// What was dropped: blocks of [`mask`](crate::dropout::mask) for each piece on the CPU, a byte for each pack on a
    /// GPU.
    pub(super) masks: Option<Tensor>,
}

impl Computed {
    /// The words of the masks.
    pub(super) fn masks(&self) -> Result<&[i32]> {
        self.masks.as_ref().map_or(Ok(&[]), |m| m.as_slice())
    }

    /// For each sample the mean, the reciprocal standard deviation times the scale, and the shift, for each number of a
    /// wide row.
    pub(super) fn coefficients<T: Real>(
        &self,
        pieces: &Pieces,
        groups: usize,
        [gamma, beta]: [&[T]; 2],
    ) -> Result<Vec<[Vec<T>; 3]>> {
        let (channels, width) = (pieces.channels, pieces.channels / groups);
        let statistics = self.statistics.as_slice::<T>()?;
        let of_sample = |statistics: &[T]| {
            [
                repeated(channels, |c| statistics[c / width]),
                repeated(channels, |c| statistics[groups + c / width] * gamma[c]),
                repeated(channels, |c| beta[c]),
            ]
        };
        Ok(statistics.chunks_exact(2 * groups).map(of_sample).collect())
    }
}

/// The inputs of a [`GroupNorm`].
struct Inputs<'a, T> {
    /// Absent where the output's place holds it.
    x: Option<&'a [T]>,
    gamma: &'a [T],
    beta: &'a [T],
    residual: Option<&'a [T]>,
}

impl GroupNorm {
    fn compute<T: Real>(&self, shape: Shape, inputs: &Inputs<'_, T>, out: &mut [T]) -> Result<Computed> {
        let pieces = Pieces::of(shape.dims());
        let mut masks = self.norm.stage().draw.map(|_| pieces.masks()).transpose()?;
        let words = masks.as_mut().map_or(Ok(&mut [][..]), Tensor::as_mut_slice)?;
        let statistics = match &self.statistics {
            Statistics::Given(statistics) => {
                self.draw(&pieces, words);
                statistics.clone()
            }
            Statistics::Own | Statistics::Told(_) => self.find(&pieces, inputs.x.unwrap_or(out), words)?,
        };
        let computed = self.tell(Computed { statistics, masks });
        self.finish(&pieces, inputs, &computed, out)?;
        Ok(computed)
    }

    /// Puts the statistics where they were asked for.
    fn tell(&self, computed: Computed) -> Computed {
        if let Statistics::Told(told) = &self.statistics {
            // Only the first run tells them: there is no other for one call.
            let _ = told.set(computed.statistics.clone());
        }
        computed
    }

    /// Draws the masks alone.
    fn draw(&self, pieces: &Pieces, masks: &mut [i32]) {
        if let Some(drawing) = self.norm.stage().draw {
            let piece = |_, place: Place, mask: &mut [Block], _: &mut [f32]| {
                draw::<f32>(drawing, place.numbers.start, mask);
            };
            pieces.map(pieces.split_masks(masks), piece);
        }
    }

    /// The first pass: draws the masks, and finds the statistics.
    fn find<T: Real>(&self, pieces: &Pieces, x: &[T], masks: &mut [i32]) -> Result<Tensor> {
        let (norm, stage) = (&self.norm, self.norm.stage());
        let plain = norm.order == Order::NormFirst || stage.is_identity();
        let piece = |_, place: Place, mask: &mut [Block], scratch: &mut [T]| {
            if let Some(drawing) = stage.draw {
                draw::<f32>(drawing, place.numbers.start, mask);
            }
            let x = &x[place.numbers];
            if plain {
                return statistics::of_piece(x, pieces.channels, norm.groups);
            }
            scratch.copy_from_slice(x);
            settings::forward(&stage, mask, scratch);
            statistics::of_piece(scratch, pieces.channels, norm.groups)
        };
        let parts = pieces.map(pieces.split_masks(masks), piece);
        statistics::of_groups::<T>(pieces, norm.groups, norm.eps, &parts)
    }

    /// The second pass.
    fn finish<T: Real>(
        &self,
        pieces: &Pieces,
        inputs: &Inputs<'_, T>,
        computed: &Computed,
        out: &mut [T],
    ) -> Result<()> {
        let (norm, stage, masks) = (&self.norm, self.norm.stage(), computed.masks()?);
        let coefficients = computed.coefficients(pieces, norm.groups, [inputs.gamma, inputs.beta])?;
        let piece = |i, Place { sample, numbers }: Place, out: &mut [T], _: &mut [T]| {
            let (mask, coefficients) = (pieces.mask_of(i, masks), &coefficients[sample]);
            let stage_first = norm.order == Order::NormLast && !stage.is_identity();
            match inputs.x.map(|x| &x[numbers.clone()]) {
                Some(x) if !stage_first => normalise_from(coefficients, x, out),
                Some(x) => {
                    out.copy_from_slice(x);
                    settings::forward(&stage, mask, out);
                    normalise(coefficients, out);
                }
                None => {
                    if stage_first {
                        settings::forward(&stage, mask, out);
                    }
                    normalise(coefficients, out);
                }
            }
            if let Some(residual) = inputs.residual {
                add(out, &residual[numbers]);
            }
            if norm.order == Order::NormFirst {
                settings::forward(&stage, mask, out);
            }
        };
        pieces.map(pieces.split(out), piece);
        Ok(())
    }

    /// Whether an activation or dropout follows the norm and the residual.
    fn stage_is_last(&self) -> bool {
        self.norm.order == Order::NormFirst && !self.norm.stage().is_identity()
    }
}

impl<const N: usize> Kernel<N> for GroupNorm {
    const NAME: &'static str = "group_norm";
    const IN_PLACE_UNRECORDED: bool = true;
    type Aux = Computed;

    fn shape(&self, shapes: [Shape; N]) -> Result<Shape> {
        let x = check(<Self as Kernel<N>>::NAME, &shapes, self.norm.eps)?;
        self.norm.check(<Self as Kernel<N>>::NAME, x)?;
        Ok(x)
    }

    fn cpu<T: Real>(
        &self,
        shapes: [Shape; N],
        inputs: [&[T]; N],
        out: &mut [T],
        _: bool,
    ) -> Result<Computed> {
        let [x, gamma, beta] = [inputs[0], inputs[1], inputs[2]];
        self.compute(shapes[0], &Inputs { x: Some(x), gamma, beta, residual: inputs.get(3).copied() }, out)
    }

    fn cpu_in_place<T: Real>(
        &self,
        shapes: [Shape; N],
        inputs: [&[T]; N],
        data: &mut [T],
        _: bool,
    ) -> Result<Computed> {
        let [gamma, beta] = [inputs[1], inputs[2]];
        self.compute(shapes[0], &Inputs { x: None, gamma, beta, residual: inputs.get(3).copied() }, data)
    }

    fn cuda(
        &self,
        device: &Arc<Cuda>,
        shapes: [Shape; N],
        inputs: [&CudaBuffer; N],
        out: &mut CudaBuffer,
        recording: bool,
    ) -> Result<Computed> {
        Ok(self.tell(cuda::group::forward(device, self, shapes[0], &inputs, out, recording)?))
    }
}

/// What the gradient of a [`GroupNorm`] needs.
pub(super) struct Saved {
    x: Tensor,
    gamma: Tensor,
    beta: Tensor,
    /// The residual, where the activation's gradient is found from a sum with it.
    residual: Option<Tensor>,
    computed: Computed,
}

impl<const N: usize> Op<N> for GroupNorm {
    type Saved = Saved;

    fn save(&self, computed: Computed, inputs: [&Tensor; N], _: &Tensor) -> Saved {
        let [x, gamma, beta] = [0, 1, 2].map(|i| inputs[i].detached());
        let residual = inputs.get(3).filter(|_| self.stage_is_last()).map(|r| r.detached());
        Saved { x, gamma, beta, residual, computed }
    }

    fn backward(&self, saved: Saved, grad: Tensor, wanted: [bool; N]) -> Result<[Option<Tensor>; N]> {
        let Saved { x, gamma, beta, residual, computed } = saved;
        let dtype = gamma.dtype();
        let wants_residual = wanted.get(3) == Some(&true);
        // Where nothing follows the sum, the residual's gradient is that of the output.
        let mut of_residual = (wants_residual && !self.stage_is_last()).then(|| grad.clone());
        let keep_stage = wants_residual && self.stage_is_last();
        let is_given = matches!(self.statistics, Statistics::Given(_));
        let gradient = Gradient { norm: self.norm, gamma, beta, computed, keep_stage, is_given };
        let (of_x, found) = match residual {
            Some(residual) => run(&gradient, [grad.into(), x.into(), residual.into()]),
            None => run(&gradient, [grad.into(), x.into()]),
        }?;
        of_residual = of_residual.or(found.of_stage.map(|g| g.cast(dtype)).transpose()?);
        let mut all =
            [Some(of_x), Some(found.of_gamma.cast(dtype)?), Some(found.of_beta.cast(dtype)?), of_residual];
        Ok(std::array::from_fn(|i| all[i].take().filter(|_| wanted[i])))
    }
}
