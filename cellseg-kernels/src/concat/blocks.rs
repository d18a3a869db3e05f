//! Picking blocks of channels.

use super::cuda::{Columns, copy};
use crate::pointwise::{add, chunks};
use cellseg_core::{
    Error, Kernel, Op, Real, Result, Shape, Tensor, apply,
    cuda::{Cuda, CudaBuffer},
    run,
};
use std::{borrow::Cow, sync::Arc};

/// Blocks of `width` channels of `x` `[.., k * width]`: block `i` of the output `[.., blocks.len() * width]` is block
/// `blocks[i]` of the input. A block may be picked several times, or not at all.
///
/// # Errors
/// Channels that are no whole blocks, a block that is not there; see [`apply`].
pub fn pick_blocks(x: &Tensor, width: usize, blocks: &[usize]) -> Result<Tensor> {
    apply(Pick { width, blocks: blocks.iter().copied().map(Some).collect() }, [x.into()])
}

#[derive(Clone)]
struct Pick {
    width: usize,
    /// Which block of the input each block of the output is; zeros where absent.
    blocks: Arc<[Option<usize>]>,
}

impl Pick {
    /// The gradient's picks, whose sum is the gradient: the first takes each block of the input, of `count`, from the first
    /// place to which it went, and so on.
    fn back(&self, count: usize) -> Vec<Pick> {
        let places = |block| (0..self.blocks.len()).filter(move |&i| self.blocks[i] == Some(block));
        let most = (0..count).map(|block| places(block).count()).max().unwrap_or(0);
        let nth = |n| (0..count).map(|block| places(block).nth(n)).collect();
        (0..most.max(1)).map(|n| Pick { width: self.width, blocks: nth(n) }).collect()
    }
}

impl Kernel<1> for Pick {
    const NAME: &'static str = "pick_blocks";
    type Aux = ();

    fn shape(&self, [x]: [Shape; 1]) -> Result<Shape> {
        let (channels, width) = (x.channels(), self.width);
        let most = self.blocks.iter().flatten().max().map_or(0, |last| last + 1);
        if width == 0 || x.rank() == 0 || !channels.is_multiple_of(width) || most > channels / width {
            let why = format!("{x:?}: blocks of {width} channels are expected, at least {most} of them");
            return Err(Error::argument(Self::NAME, why));
        }
        let mut dims = x.dims().to_vec();
        dims[x.rank() - 1] = self.blocks.len() * width;
        Shape::new(&dims)
    }

    fn cpu<T: Real>(&self, [shape]: [Shape; 1], [x]: [&[T]; 1], out: &mut [T], _: bool) -> Result<()> {
        let (row, width) = (shape.channels(), self.width);
        let out_row = self.blocks.len() * width;
        chunks::each(out, out_row, |at, out| {
            let rows = x.chunks_exact(row.max(1)).skip(at / out_row.max(1));
            for (out, x) in out.chunks_exact_mut(out_row.max(1)).zip(rows) {
                for (out, block) in out.chunks_exact_mut(width).zip(&*self.blocks) {
                    match block {
                        Some(block) => out.copy_from_slice(&x[block * width..][..width]),
                        None => out.fill(T::zero()),
                    }
                }
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
        let (row, count) = (shape.channels(), self.width);
        if self.blocks.contains(&None) {
            *out = CudaBuffer::zeroed(device, out.dtype(), out.len())?;
        }
        let out_row = self.blocks.len() * count;
        for (i, block) in self.blocks.iter().enumerate() {
            if let Some(block) = block {
                copy(
                    device,
                    Columns { count, from: (row, block * count), to: (out_row, i * count) },
                    x,
                    out,
                )?;
            }
        }
        Ok(())
    }
}

impl Op<1> for Pick {
    /// How many blocks the input has.
    type Saved = usize;

    fn save(&self, (): (), [x]: [&Tensor; 1], _: &Tensor) -> usize {
        x.shape().channels() / self.width
    }

    fn backward(&self, count: usize, grad: Tensor, _: [bool; 1]) -> Result<[Option<Tensor>; 1]> {
        let mut sum: Option<Tensor> = None;
        for pick in self.back(count) {
            let (part, ()) = run(&pick, [Cow::Borrowed(&grad)])?;
            sum = Some(match sum {
                Some(sum) => add(sum, part)?,
                None => part,
            });
        }
        Ok([sum])
    }
}
