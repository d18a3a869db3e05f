//! Dropout: each number becomes zero with probability `p`, and is multiplied by `1 / (1 - p)` otherwise, so that its
//! expectation stays (Srivastava et al., JMLR 15, 2014).
//!
//! Number `i` is decided by word `i % 4` of `philox(key, i / 4)`: the same on every device and for any number of
//! threads. The mask is therefore not kept for the gradient but drawn again, and either works in place.

#[cfg(any(test, feature = "testing"))]
pub mod cases;
mod cpu;
#[cfg(test)]
mod tests;

use crate::pointwise::chunks;
use cellseg_core::{Error, Kernel, Op, Real, Result, Shape, Tensor, apply, run};
use std::borrow::Cow;

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
    apply(Dropout { p, key }, [x])
}

#[derive(Clone)]
struct Dropout {
    p: f64,
    key: u64,
}

impl Kernel<1> for Dropout {
    const NAME: &'static str = "dropout";
    const IN_PLACE: bool = true;
    type Aux = ();

    fn shape(&self, [x]: [Shape; 1]) -> Result<Shape> {
        if (0.0..1.0).contains(&self.p) {
            return Ok(x);
        }
        Err(Error::argument(Self::NAME, format!("the probability is {}; it must lie in [0, 1)", self.p)))
    }

    fn cpu<T: Real>(&self, _: [Shape; 1], [x]: [&[T]; 1], out: &mut [T], _: bool) -> Result<()> {
        let draw = cpu::Draw::new(self.p, self.key);
        chunks::each_copied(x, out, 1, |at, out| cpu::apply(draw, out, at));
        Ok(())
    }

    fn cpu_in_place<T: Real>(&self, _: [Shape; 1], _: [&[T]; 1], data: &mut [T], _: bool) -> Result<()> {
        let draw = cpu::Draw::new(self.p, self.key);
        chunks::each(data, 1, |at, data| cpu::apply(draw, data, at));
        Ok(())
    }
}

impl Op<1> for Dropout {
    type Saved = ();

    fn save(&self, (): (), _: [&Tensor; 1], _: &Tensor) {}

    fn backward(&self, (): (), grad: Tensor, _: [bool; 1]) -> Result<[Option<Tensor>; 1]> {
        Ok([Some(run(self, [grad.into()])?.0)])
    }
}
