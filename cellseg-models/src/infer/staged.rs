//! Windows on a GPU: one is computed while its neighbours travel.
//!
//! In the turn of window `n` the host reads window `n + 1` and starts its copy, queues the kernels of `n` and the copy of
//! their result, and averages the result of `n - 1`. The GPU has the kernels of `n` in its queue while it still runs those
//! of `n - 1`, so it waits for nothing as long as the host reads and averages a window in less time than the GPU needs for
//! one. Two windows each way lie in page-locked memory.

use super::windows::Walk;
use crate::Result;
use cellseg_core::{
    DType, Device, Tensor,
    cuda::{Cuda, Pinned, Upload},
};
use std::sync::Arc;

/// Goes over all windows.
pub(super) fn run(walk: &mut Walk<'_>, gpu: &Arc<Cuda>) -> Result<()> {
    let pinned = |dims: [usize; 5]| Pinned::new(gpu, DType::F32, dims.iter().product());
    let mut inputs = [pinned(walk.input())?, pinned(walk.input())?];
    let mut outputs = [Output::new(pinned(walk.output())?), Output::new(pinned(walk.output())?)];
    let count = walk.count();
    let mut coming = Some(start(walk, 0, &mut inputs)?);
    for n in 0..count {
        let Some(x) = coming.take() else { break };
        let x = x.arrive()?;
        if n + 1 < count {
            coming = Some(start(walk, n + 1, &mut inputs)?);
        }
        outputs[n % 2].start(walk.forward(&x)?)?;
        if n > 0 {
            walk.take(n - 1, outputs[(n - 1) % 2].finish()?)?;
        }
    }
    walk.take(count - 1, outputs[(count - 1) % 2].finish()?)
}

/// Reads window number `n` and starts its copy.
fn start(walk: &Walk<'_>, n: usize, inputs: &mut [Pinned; 2]) -> Result<Upload> {
    let input = &mut inputs[n % 2];
    walk.read(n, input.as_mut_slice()?);
    Ok(input.upload(&walk.input())?)
}

/// What the network made of a window, on its way to the host.
struct Output {
    pinned: Pinned,
    /// Where the network put it into host memory itself.
    here: Option<Tensor>,
}

impl Output {
    fn new(pinned: Pinned) -> Self {
        Output { pinned, here: None }
    }

    fn start(&mut self, y: Tensor) -> Result<()> {
        self.here = None;
        if y.device() == Device::Cpu {
            self.here = Some(y);
            return Ok(());
        }
        Ok(self.pinned.download(&y)?)
    }

    fn finish(&mut self) -> Result<&[f32]> {
        match &self.here {
            Some(y) => Ok(y.as_slice()?),
            None => Ok(self.pinned.as_slice()?),
        }
    }
}
