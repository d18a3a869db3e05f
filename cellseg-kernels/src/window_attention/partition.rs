//! Cutting volumes into windows and putting them together again.

use super::{cuda, windows::Windows};
use cellseg_core::{
    Error, Kernel, Op, Real, Result, Shape, Tensor, apply,
    cuda::{Cuda, CudaBuffer},
    run,
};
use rayon::prelude::*;
use std::sync::Arc;

/// The windows of `x` `[n, d, h, w, c]`: `[n * windows, tokens, c]`, padding being zero.
///
/// # Errors
/// Volumes of other extents than the windows are of; see [`apply`].
pub fn partition(x: &Tensor, windows: &Windows) -> Result<Tensor> {
    apply(Partition(*windows), [x.into()])
}

/// The volumes `[n, d, h, w, c]` of windows `[n * windows, tokens, c]`: the inverse of [`partition`].
///
/// # Errors
/// Windows of another count or size; see [`apply`].
pub fn reverse(x: &Tensor, windows: &Windows) -> Result<Tensor> {
    apply(Reverse(*windows), [x.into()])
}

#[derive(Clone)]
struct Partition(Windows);

#[derive(Clone)]
struct Reverse(Windows);

/// Where each token of a window lies in the volume, in order; none where there is padding.
fn sources(windows: &Windows, window: usize) -> impl Iterator<Item = Option<usize>> {
    let (windows, [_, gh, gw], [wd, wh, ww]) = (*windows, windows.grid(), windows.window());
    let [_, h, w] = windows.volume();
    let [z, y, x] = [window / (gh * gw), window / gw % gh, window % gw];
    (0..wd * wh).flat_map(move |row| {
        let line = windows.source(0, z, row / wh).zip(windows.source(1, y, row % wh));
        (0..ww).map(move |at| line.zip(windows.source(2, x, at)).map(|((z, y), x)| (z * h + y) * w + x))
    })
}

impl Kernel<1> for Partition {
    const NAME: &'static str = "window partition";
    type Aux = ();

    fn shape(&self, [x]: [Shape; 1]) -> Result<Shape> {
        let [n, d, h, w, c] = x.volumes(Self::NAME)?;
        if [d, h, w] != self.0.volume() {
            return Err(Error::argument(
                Self::NAME,
                format!(
                    "{x:?}: volumes of {:?} voxels are expected, which the windows are of",
                    self.0.volume()
                ),
            ));
        }
        Shape::new(&[n * self.0.count(), self.0.tokens(), c])
    }

    fn cpu<T: Real>(&self, [shape]: [Shape; 1], [x]: [&[T]; 1], out: &mut [T], _: bool) -> Result<()> {
        let (c, count) = (shape.channels(), self.0.count());
        let volume = self.0.volume().iter().product::<usize>() * c;
        out.par_chunks_mut((self.0.tokens() * c).max(1)).enumerate().for_each(|(i, out)| {
            let x = &x[i / count * volume..][..volume];
            for (out, source) in out.chunks_exact_mut(c.max(1)).zip(sources(&self.0, i % count)) {
                match source {
                    Some(source) => out.copy_from_slice(&x[source * c..][..c]),
                    None => out.fill(T::zero()),
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
        cuda::cut(device, "partition", &self.0, shape.channels(), x, out)
    }
}

impl Op<1> for Partition {
    type Saved = ();

    fn save(&self, (): (), _: [&Tensor; 1], _: &Tensor) {}

    fn backward(&self, (): (), grad: Tensor, _: [bool; 1]) -> Result<[Option<Tensor>; 1]> {
        // What padding got has come from nowhere.
        Ok([Some(run(&Reverse(self.0), [grad.into()])?.0)])
    }
}

impl Kernel<1> for Reverse {
    const NAME: &'static str = "window reverse";
    type Aux = ();

    fn shape(&self, [x]: [Shape; 1]) -> Result<Shape> {
        let ([d, h, w], count, expected) = (self.0.volume(), self.0.count(), self.0.tokens());
        match *x.dims() {
            [windows, tokens, c] if windows % count == 0 && tokens == expected => {
                Shape::new(&[windows / count, d, h, w, c])
            }
            _ => Err(Error::argument(
                Self::NAME,
                format!("{x:?}: [n * {count}, {expected}, c] is expected, the windows of n volumes"),
            )),
        }
    }

    fn cpu<T: Real>(&self, [shape]: [Shape; 1], [x]: [&[T]; 1], out: &mut [T], _: bool) -> Result<()> {
        let (c, windows) = (shape.channels(), &self.0);
        let [d, h, w] = windows.volume();
        let window = windows.tokens() * c;
        out.par_chunks_mut((h * w * c).max(1)).enumerate().for_each(|(plane, out)| {
            let x = &x[plane / d * windows.count() * window..];
            let z = windows.place(0, plane % d);
            for (row, out) in out.chunks_exact_mut((w * c).max(1)).enumerate() {
                let y = windows.place(1, row);
                for (voxel, out) in out.chunks_exact_mut(c.max(1)).enumerate() {
                    let (block, token) = windows.token([z, y, windows.place(2, voxel)]);
                    out.copy_from_slice(&x[block * window + token * c..][..c]);
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
        cuda::cut(device, "reverse", &self.0, shape.channels(), x, out)
    }
}

impl Op<1> for Reverse {
    type Saved = ();

    fn save(&self, (): (), _: [&Tensor; 1], _: &Tensor) {}

    fn backward(&self, (): (), grad: Tensor, _: [bool; 1]) -> Result<[Option<Tensor>; 1]> {
        Ok([Some(run(&Partition(self.0), [grad.into()])?.0)])
    }
}
