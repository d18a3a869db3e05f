//! Dropout: each number becomes zero with probability `p`, and is multiplied by `1 / (1 - p)` otherwise, so that its
//! expectation stays (Srivastava et al., JMLR 15, 2014).
//!
//! Number `i` is decided by word `i % 4` of `philox(key, i / 4)`: the same on every device and for any number of
//! threads. The mask is therefore not kept for the gradient but drawn again, and either works in place.

#[cfg(any(test, feature = "testing"))]
pub mod cases;
pub(crate) mod mask;
#[cfg(test)]
mod tests;

use crate::{
    pointwise::chunks,
    walk::{pack, walk},
};
use cellseg_core::{
    Kernel, Op, Real, Result, Shape, Tensor, apply,
    cuda::{Arguments, Cuda, CudaBuffer, Source},
    cuda_source, run,
};
use std::{borrow::Cow, sync::Arc};

const KERNEL: Source = cuda_source!("dropout/dropout.cu");

/// Drops each number with probability `p`, drawn from `key`: give each layer and each step a key of its own.
///
/// A number that is dropped is multiplied by zero, so infinities become not a number, as in PyTorch.
///
/// # Errors
/// A `p` outside `[0, 1)`; see [`apply`].
pub fn dropout<'a>(x: impl Into<Cow<'a, Tensor>>, p: f64, key: u64) -> Result<Tensor> {
    let x = x.into();
    if p == 0.0 {
        return Ok(x.into_owned());
    }
    apply(Dropping(Dropout { p, key }), [x])
}

/// How numbers are dropped by an operation that does more than that: as by [`dropout`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Dropout {
    /// The probability with which a number becomes zero, from `[0, 1)`.
    pub p: f64,
    /// What the mask is drawn from: give each layer and each step a key of its own.
    pub key: u64,
}

#[derive(Clone)]
struct Dropping(Dropout);

impl Kernel<1> for Dropping {
    const NAME: &'static str = "dropout";
    const IN_PLACE: bool = true;
    type Aux = ();

    fn shape(&self, [x]: [Shape; 1]) -> Result<Shape> {
        self.0.check(Self::NAME)?;
        Ok(x)
    }

    fn cpu<T: Real>(&self, _: [Shape; 1], [x]: [&[T]; 1], out: &mut [T], _: bool) -> Result<()> {
        let draw = self.0.draw();
        chunks::each_copied(x, out, 1, |at, out| mask::draw_and_apply(draw, out, at));
        Ok(())
    }

    fn cpu_in_place<T: Real>(&self, _: [Shape; 1], _: [&[T]; 1], data: &mut [T], _: bool) -> Result<()> {
        let draw = self.0.draw();
        chunks::each(data, 1, |at, data| mask::draw_and_apply(draw, data, at));
        Ok(())
    }

    fn cuda(
        &self,
        device: &Arc<Cuda>,
        _: [Shape; 1],
        [x]: [&CudaBuffer; 1],
        out: &mut CudaBuffer,
        _: bool,
    ) -> Result<()> {
        let (count, draw) = (x.len(), self.0.draw());
        let defines = [("REAL", Cuda::real(Self::NAME, x.dtype())?)];
        let launch = walk(device, &KERNEL, &defines, "dropout", count.div_ceil(pack(x.dtype())));
        let arguments = Arguments::new().output(out).input(x).value(count as i64);
        let arguments = arguments.value(draw.key).value(draw.threshold).value(draw.scale as f32);
        // SAFETY: both buffers hold `count` numbers of this type; each is read before it is written.
        unsafe { device.launch(launch, arguments) }
    }
}

impl Op<1> for Dropping {
    type Saved = ();

    fn save(&self, (): (), _: [&Tensor; 1], _: &Tensor) {}

    fn backward(&self, (): (), grad: Tensor, _: [bool; 1]) -> Result<[Option<Tensor>; 1]> {
        Ok([Some(run(self, [grad.into()])?.0)])
    }
}
