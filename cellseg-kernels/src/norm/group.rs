//! Group and instance normalisation.
//!
//! With `u = (x - mean) / sqrt(variance + eps)`, `m` numbers in a group and `g` the gradient of the output, the gradients
//! are `sum(g * u)` for the scale, `sum(g)` for the shift, and for the input
//! `(gamma * g - mean(gamma * g) - u * mean(gamma * g * u)) / sqrt(variance + eps)` with means over the group.

use super::{
    check,
    columns::{Extents, add_terms},
    gradients_of, per_channel,
};
use crate::pointwise::{same, wide};
use cellseg_core::{Error, Kernel, Op, Real, Result, Shape, Tensor, apply};

/// Group normalisation of `[n, .., c]` with `groups` groups of neighbouring channels, and a scale `gamma` and a shift
/// `beta` for each channel, `[c]` both (Wu and He, "Group normalization", ECCV 2018).
///
/// # Errors
/// Channels that the groups do not divide, other shapes of scale or shift, an `eps` that is negative or not finite; see
/// [`apply`].
pub fn group_norm(x: &Tensor, gamma: &Tensor, beta: &Tensor, groups: usize, eps: f64) -> Result<Tensor> {
    apply(GroupNorm { groups, eps }, [x.into(), gamma.into(), beta.into()])
}

/// Instance normalisation of `[n, .., c]`: each channel of each sample on its own, with a scale `gamma` and a shift
/// `beta` for each channel, `[c]` both (Ulyanov, Vedaldi and Lempitsky, "Instance normalization", 2016).
///
/// # Errors
/// As for [`group_norm`].
pub fn instance_norm(x: &Tensor, gamma: &Tensor, beta: &Tensor, eps: f64) -> Result<Tensor> {
    group_norm(x, gamma, beta, x.shape().channels(), eps)
}

#[derive(Clone)]
struct GroupNorm {
    groups: usize,
    eps: f64,
}

impl Kernel<3> for GroupNorm {
    const NAME: &'static str = "group_norm";
    /// Means and reciprocal standard deviations, `[n, 2, groups]`.
    type Aux = Tensor;

    fn shape(&self, shapes: [Shape; 3]) -> Result<Shape> {
        check(Self::NAME, shapes, self.eps)?;
        let [x, ..] = shapes;
        if self.groups == 0 || x.channels() % self.groups != 0 {
            return Err(Error::argument(
                Self::NAME,
                format!("{} groups do not divide the {} channels of {x:?}", self.groups, x.channels()),
            ));
        }
        Ok(x)
    }

    fn cpu<T: Real>(
        &self,
        [shape, ..]: [Shape; 3],
        [x, gamma, beta]: [&[T]; 3],
        out: &mut [T],
        _: bool,
    ) -> Result<Tensor> {
        let extents = Extents::of(shape.dims());
        let statistics = self.statistics(&extents, x)?;
        let coefficients: Vec<_> = (0..extents.samples)
            .map(|n| {
                let (mean, factor) = self.by_channel(&extents, statistics.as_slice()?, n);
                let factor: Vec<T> = factor.iter().zip(gamma).map(|(f, g)| *f * *g).collect();
                Ok((mean, factor))
            })
            .collect::<Result<_>>()?;
        extents.each(out, |n, at, out| {
            let (mean, factor) = &coefficients[n];
            normalise(&x[at..], [mean, factor, beta], out);
        });
        Ok(statistics)
    }
}

wide! {
    /// `out = (x - mean) * factor + shift`, row by row.
    fn normalise<'a, T: Real>(x: &'a [T], coefficients: [&'a [T]; 3], out: &'a mut [T]) -> () {
        let [mean, factor, shift] = coefficients;
        let c = mean.len();
        for (out, x) in out.chunks_exact_mut(c).zip(x.chunks_exact(c)) {
            for ((((o, x), m), f), s) in out.iter_mut().zip(x).zip(mean).zip(factor).zip(shift) {
                *o = (*x - *m) * *f + *s;
            }
        }
    }
}

wide! {
    /// Adds the columns' sums of `x - shift` and of its square to the halves of `sums`.
    fn add_moments<'a, T: Real>(x: &'a [T], shift: &'a [T], sums: &'a mut [f64]) -> () {
        add_terms([x], sums, |[x], i| {
            let d = x - shift[i];
            [d, d * d]
        });
    }
}

wide! {
    /// Adds the columns' sums of `g` and of `g * (x - mean)` to the halves of `sums`.
    fn add_products<'a, T: Real>(g: &'a [T], x: &'a [T], mean: &'a [T], sums: &'a mut [f64]) -> () {
        add_terms([g, x], sums, |[g, x], i| [g, g * (x - mean[i])]);
    }
}

wide! {
    /// `grad = grad * a + (x - mean) * b + s`, row by row.
    fn combine<'a, T: Real>(x: &'a [T], coefficients: &'a [Vec<T>; 4], grad: &'a mut [T]) -> () {
        let [mean, a, b, s] = coefficients;
        let c = mean.len();
        for (grad, x) in grad.chunks_exact_mut(c).zip(x.chunks_exact(c)) {
            for (((((g, x), m), a), b), s) in grad.iter_mut().zip(x).zip(mean).zip(a).zip(b).zip(s) {
                *g = *g * *a + ((*x - *m) * *b + *s);
            }
        }
    }
}

impl GroupNorm {
    /// Means and reciprocal standard deviations of the groups.
    ///
    /// Sums are taken of the distances from the first number of each channel, which lie near zero where the numbers
    /// are far from it, so that the variance does not cancel.
    fn statistics<T: Real>(&self, extents: &Extents, x: &[T]) -> Result<Tensor> {
        let c = extents.channels;
        let first = |n: usize| &x[n * extents.sample()..][..if extents.rows == 0 { 0 } else { c }];
        let sums = extents.sums(|n, range, sums| add_moments(&x[range], first(n), sums));
        let width = c / self.groups;
        let (rows, count) = (extents.rows as f64, (extents.rows * width) as f64);
        Tensor::build(&[extents.samples, 2, self.groups], |out: &mut [T]| {
            for (n, out) in out.chunks_exact_mut(2 * self.groups).enumerate() {
                let (sums, squares) = sums[n * 2 * c..][..2 * c].split_at(c);
                let (means, factors) = out.split_at_mut(self.groups);
                for (g, (mean, factor)) in means.iter_mut().zip(factors).enumerate() {
                    let channels = g * width..(g + 1) * width;
                    let shift = |i: usize| first(n).get(i).map_or(f64::NAN, |x| x.wide());
                    let m = channels.clone().map(|i| rows * shift(i) + sums[i]).sum::<f64>() / count;
                    let squared = |i: usize| {
                        let d = shift(i) - m;
                        squares[i] + d * (2.0 * sums[i] + rows * d)
                    };
                    let variance = channels.map(squared).sum::<f64>() / count;
                    *mean = T::of(m);
                    *factor = T::of(1.0 / (variance.max(0.0) + self.eps).sqrt());
                }
            }
            Ok(())
        })
    }

    /// The mean and the reciprocal standard deviation of sample `n` for each channel.
    fn by_channel<T: Real>(&self, extents: &Extents, statistics: &[T], n: usize) -> (Vec<T>, Vec<T>) {
        let width = extents.channels / self.groups;
        let (mean, factor) = statistics[n * 2 * self.groups..][..2 * self.groups].split_at(self.groups);
        let spread = |xs: &[T]| xs.iter().flat_map(|x| std::iter::repeat_n(*x, width)).collect();
        (spread(mean), spread(factor))
    }
}

impl Op<3> for GroupNorm {
    /// The input, the scale, and the statistics.
    type Saved = [Tensor; 3];

    fn save(&self, statistics: Tensor, [x, gamma, _]: [&Tensor; 3], _: &Tensor) -> [Tensor; 3] {
        [x.detached(), gamma.detached(), statistics]
    }

    fn backward(
        &self,
        [x, gamma, statistics]: [Tensor; 3],
        grad: Tensor,
        wanted: [bool; 3],
    ) -> Result<[Option<Tensor>; 3]> {
        let dtype = gamma.dtype();
        let kernel = GroupNormGradient { norm: self.clone(), gamma, statistics };
        gradients_of(&kernel, x, dtype, grad, wanted)
    }
}

/// The gradients of [`GroupNorm`] from that of its output and the input.
#[derive(Clone)]
struct GroupNormGradient {
    norm: GroupNorm,
    gamma: Tensor,
    statistics: Tensor,
}

impl Kernel<2> for GroupNormGradient {
    const NAME: &'static str = "group_norm gradient";
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
        let (extents, norm) = (Extents::of(shape.dims()), &self.norm);
        let c = extents.channels;
        let (gamma, statistics) = (self.gamma.cast(T::DTYPE)?, self.statistics.as_slice::<T>()?);
        let gamma = gamma.as_slice::<T>()?;
        let by_channel: Vec<_> =
            (0..extents.samples).map(|n| norm.by_channel(&extents, statistics, n)).collect();
        let sums = extents.sums(|n, range, sums| {
            let (mean, _) = &by_channel[n];
            add_products(&grad[range.clone()], &x[range], mean, sums);
        });
        let (width, mut of_gamma, mut of_beta) = (c / norm.groups, vec![0.0; c], vec![0.0; c]);
        let count = (extents.rows * width) as f64;
        // dx = g * a + (x - mean) * b + s, the factors being per channel.
        let mut coefficients = Vec::with_capacity(extents.samples);
        for (sums, (mean, factor)) in sums.chunks_exact(2 * c).zip(by_channel) {
            let (plain, product) = sums.split_at(c);
            for i in 0..c {
                of_gamma[i] += product[i] * factor[i].wide();
                of_beta[i] += plain[i];
            }
            let (mut b, mut s) = (Vec::with_capacity(c), Vec::with_capacity(c));
            for first in (0..c).step_by(width) {
                let over = |xs: &[f64]| (first..first + width).map(|i| gamma[i].wide() * xs[i]).sum::<f64>();
                let f = factor[first].wide();
                b.extend(std::iter::repeat_n(T::of(-f * f * f * over(product) / count), width));
                s.extend(std::iter::repeat_n(T::of(-f * over(plain) / count), width));
            }
            let a: Vec<T> = factor.iter().zip(gamma).map(|(f, g)| *f * *g).collect();
            coefficients.push([mean, a, b, s]);
        }
        extents.each(grad, |n, at, grad| combine(&x[at..], &coefficients[n], grad));
        Ok([per_channel::<T>(&of_gamma)?, per_channel::<T>(&of_beta)?])
    }
}
