//! Joining tensors along the channels: `[.., c1]`, `[.., c2]`, .. to `[.., c1 + c2 + ..]`, and picking blocks of channels.

mod blocks;
#[cfg(any(test, feature = "testing"))]
pub mod cases;
mod cuda;
#[cfg(test)]
mod tests;

pub use blocks::pick_blocks;

use crate::pointwise::chunks;
use cellseg_core::{
    Error, Kernel, Op, Real, Result, Shape, Tensor, apply,
    cuda::{Cuda, CudaBuffer},
    run,
};
use cuda::{Columns, copy};
use std::{borrow::Cow, sync::Arc};

/// The tensors one after the other along the last axis, the channels; all other extents are the same.
///
/// # Errors
/// Tensors that differ in another axis than the last, or without axes; see [`apply`].
pub fn concat<'a, const N: usize>(parts: [impl Into<Cow<'a, Tensor>>; N]) -> Result<Tensor> {
    apply(Concat, parts.map(Into::into))
}

#[derive(Clone)]
struct Concat;

impl<const N: usize> Kernel<N> for Concat {
    const NAME: &'static str = "concat";
    type Aux = ();

    fn shape(&self, parts: [Shape; N]) -> Result<Shape> {
        let leading = |s: &Shape| s.dims().split_last().map(|(_, dims)| dims.to_vec());
        let first = parts.first().and_then(leading);
        match first {
            Some(mut dims) if parts.iter().all(|s| leading(s).as_ref() == Some(&dims)) => {
                dims.push(parts.iter().map(Shape::channels).sum());
                Shape::new(&dims)
            }
            _ => Err(Error::argument(
                "concat",
                format!("{parts:?}: at least one tensor is expected, alike in all axes but the last"),
            )),
        }
    }

    fn cpu<T: Real>(&self, shapes: [Shape; N], parts: [&[T]; N], out: &mut [T], _: bool) -> Result<()> {
        let widths = shapes.map(|s| s.channels());
        let row = widths.iter().sum();
        chunks::each(out, row, |at, out| {
            let start = at / row.max(1);
            for (i, mut out) in out.chunks_exact_mut(row.max(1)).enumerate() {
                for (part, &c) in parts.iter().zip(&widths) {
                    let (here, rest) = out.split_at_mut(c);
                    here.copy_from_slice(&part[(start + i) * c..][..c]);
                    out = rest;
                }
            }
        });
        Ok(())
    }

    fn cuda(
        &self,
        device: &Arc<Cuda>,
        shapes: [Shape; N],
        parts: [&CudaBuffer; N],
        out: &mut CudaBuffer,
        _: bool,
    ) -> Result<()> {
        let widths = shapes.map(|s| s.channels());
        let (row, mut first) = (widths.iter().sum(), 0);
        for (part, count) in parts.into_iter().zip(widths) {
            copy(device, Columns { count, from: (count, 0), to: (row, first) }, part, out)?;
            first += count;
        }
        Ok(())
    }
}

impl<const N: usize> Op<N> for Concat {
    /// How many channels each tensor has.
    type Saved = [usize; N];

    fn save(&self, (): (), parts: [&Tensor; N], _: &Tensor) -> [usize; N] {
        parts.map(|t| t.shape().channels())
    }

    fn backward(&self, widths: [usize; N], grad: Tensor, wanted: [bool; N]) -> Result<[Option<Tensor>; N]> {
        let mut grads = [const { None }; N];
        let mut first = 0;
        for ((slot, count), wanted) in grads.iter_mut().zip(widths).zip(wanted) {
            if wanted {
                *slot = Some(run(&Channels { first, count }, [Cow::Borrowed(&grad)])?.0);
            }
            first += count;
        }
        Ok(grads)
    }
}

/// The channels `first..first + count` of `x`, as a constant.
pub(crate) fn channels(x: &Tensor, first: usize, count: usize) -> Result<Tensor> {
    Ok(run(&Channels { first, count }, [x.into()])?.0)
}

/// The channels `first..first + count`.
#[derive(Clone)]
struct Channels {
    first: usize,
    count: usize,
}

impl Kernel<1> for Channels {
    const NAME: &'static str = "channels";
    type Aux = ();

    fn shape(&self, [x]: [Shape; 1]) -> Result<Shape> {
        let mut dims = x.dims().to_vec();
        match dims.last_mut() {
            Some(c) if self.first + self.count <= *c => {
                *c = self.count;
                Shape::new(&dims)
            }
            _ => Err(Error::argument(
                Self::NAME,
                format!("channels {} to {} of {x:?}", self.first, self.first + self.count),
            )),
        }
    }

    fn cpu<T: Real>(&self, [shape]: [Shape; 1], [x]: [&[T]; 1], out: &mut [T], _: bool) -> Result<()> {
        let (row, count) = (shape.channels(), self.count);
        chunks::each(out, count, |at, out| {
            let start = at / count.max(1);
            for (i, out) in out.chunks_exact_mut(count.max(1)).enumerate() {
                out.copy_from_slice(&x[(start + i) * row + self.first..][..count]);
            }
        });
        Ok(())
    }

    fn cuda(
        &self,
        device: &Arc<Cuda>,
        [shape]: [Shape; 1],
        [x]: [&CudaBuffer; 1],
        out: &mut CudaBuffer,
        _: bool,
    ) -> Result<()> {
        let count = self.count;
        copy(device, Columns { count, from: (shape.channels(), self.first), to: (count, 0) }, x, out)
    }
}
