//! Max pooling along rows of channels.

use super::Sizes;
use crate::pointwise::wide;
use cellseg_core::Real;
use rayon::prelude::*;

impl Sizes {
    /// Numbers of an output row `(x, channel)`, of which a thread takes one at a time.
    fn row(&self) -> usize {
        self.output[2] * self.channels
    }

    /// The places of a window in the input with their distance from its first voxel, in the order `z, y, x`.
    fn taps(&self) -> Vec<(u8, usize)> {
        let [_, h, w] = self.input;
        let [wd, wh, ww] = self.window;
        let places =
            (0..wd).flat_map(|z| (0..wh).flat_map(move |y| (0..ww).map(move |x| (z * h + y) * w + x)));
        (0..=u8::MAX).zip(places.map(|at| at * self.channels)).collect()
    }

    /// Where the first window of an output row starts in the input.
    fn start(&self, row: usize) -> usize {
        let [od, oh, _] = self.output;
        let [d, h, w] = self.input;
        let (n, z, y) = (row / (od * oh), row / oh % od, row % oh);
        ((n * d + z * self.window[0]) * h + y * self.window[1]) * w * self.channels
    }

    /// The numbers from one window of a row to the next.
    fn step(&self) -> usize {
        self.window[2] * self.channels
    }
}

/// The greatest numbers.
pub(super) fn forward<T: Real>(sizes: &Sizes, x: &[T], out: &mut [T]) {
    let taps = sizes.taps();
    out.par_chunks_mut(sizes.row().max(1)).enumerate().for_each(|(row, out)| {
        row_maxima(sizes, &taps, &x[sizes.start(row)..], out);
    });
}

wide! {
    /// The greatest numbers of a row of windows.
    fn row_maxima<'a, T: Real>(sizes: &'a Sizes, taps: &'a [(u8, usize)], x: &'a [T], out: &'a mut [T]) -> () {
        for (i, out) in out.chunks_exact_mut(sizes.channels).enumerate() {
            let x = &x[i * sizes.step()..];
            out.copy_from_slice(&x[..out.len()]);
            for (_, at) in &taps[1..] {
                for (o, x) in out.iter_mut().zip(&x[*at..]) {
                    *o = if replaces(*x, *o) { *x } else { *o };
                }
            }
        }
    }
}

/// The greatest numbers, and which places of their windows they are from.
pub(super) fn forward_with_places<T: Real>(sizes: &Sizes, x: &[T], out: &mut [T], places: &mut [u8]) {
    let (taps, row) = (sizes.taps(), sizes.row().max(1));
    out.par_chunks_mut(row).zip(places.par_chunks_mut(row)).enumerate().for_each(|(row, (out, places))| {
        row_places(sizes, &taps, &x[sizes.start(row)..], out, places);
    });
}

wide! {
    /// The greatest numbers of a row of windows, and their places.
    fn row_places<'a, T: Real>(
        sizes: &'a Sizes,
        taps: &'a [(u8, usize)],
        x: &'a [T],
        out: &'a mut [T],
        places: &'a mut [u8],
    ) -> () {
        let c = sizes.channels;
        for (i, (out, places)) in out.chunks_exact_mut(c).zip(places.chunks_exact_mut(c)).enumerate() {
            let x = &x[i * sizes.step()..];
            out.copy_from_slice(&x[..c]);
            places.fill(0);
            for (place, at) in &taps[1..] {
                for ((o, p), x) in out.iter_mut().zip(&mut *places).zip(&x[*at..]) {
                    let replace = replaces(*x, *o);
                    *o = if replace { *x } else { *o };
                    *p = if replace { *place } else { *p };
                }
            }
        }
    }
}

/// Whether `x` takes the place of the greatest number so far: what is not a number does.
#[inline(always)]
fn replaces<T: Real>(x: T, most: T) -> bool {
    x > most || x.is_nan()
}

/// Sends each gradient to its place; every number of `out` is written once.
pub(super) fn backward<T: Real>(sizes: &Sizes, grad: &[T], places: &[u8], out: &mut [T]) {
    let ([d, h, w], [wd, wh, ww], [od, oh, ow], c) =
        (sizes.input, sizes.window, sizes.output, sizes.channels);
    // A row of the input lies in one row of windows, or beyond the last.
    out.par_chunks_mut((w * c).max(1)).enumerate().for_each(|(row, out)| {
        let (n, z, y) = (row / (d * h), row / h % d, row % h);
        if z / wd >= od || y / wh >= oh {
            return out.fill(T::zero());
        }
        let from = ((n * od + z / wd) * oh + y / wh) * ow * c;
        let (inside, beyond) = out.split_at_mut(ow * ww * c);
        beyond.fill(T::zero());
        row_gradients(sizes, (z % wd * wh + y % wh) * ww, &grad[from..], &places[from..], inside);
    });
}

wide! {
    /// The gradients of a row of voxels, of which the first lies at the place `first` of its window.
    fn row_gradients<'a, T: Real>(
        sizes: &'a Sizes,
        first: usize,
        grad: &'a [T],
        places: &'a [u8],
        out: &'a mut [T],
    ) -> () {
        let c = sizes.channels;
        let windows = out.chunks_exact_mut(sizes.step()).zip(grad.chunks_exact(c)).zip(places.chunks_exact(c));
        for ((out, grad), places) in windows {
            for (x, out) in out.chunks_exact_mut(c).enumerate() {
                let place = (first + x) as u8;
                for ((o, g), p) in out.iter_mut().zip(grad).zip(places) {
                    *o = if *p == place { *g } else { T::zero() };
                }
            }
        }
    }
}
