//! Sums on a GPU: in f32, cut up by the shape alone and added in order.

use crate::{
    pointwise,
    sizes::blocks,
    walk::{BLOCK, step},
};
use cellseg_core::{
    DType, Result,
    cuda::{Arguments, Cuda, CudaBuffer, Launch, Source, Value},
    cuda_source,
};
use std::sync::Arc;

const SUM: Source = cuda_source!("reduce/sum.cu");

const NAME: &str = "sum";

/// Threads that share a row at most, or lie along one: those of a warp.
const LANES: usize = 32;

/// Steps of each thread, from which on a sum is cut up.
const STEPS: [usize; 2] = [16, 32];

/// A sum as its kernels take it.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
struct Sums {
    outer: i64,
    count: i64,
    inner: i64,
    skipped: i64,
    splits: i64,
    rows: i64,
    factor: f32,
    lanes: i32,
    width: i32,
}
// SAFETY: a `repr(C)` struct of numbers, the kernels' `Sums`.
unsafe impl Value for Sums {}

impl Sums {
    /// Sums of what follows the first `skipped` numbers.
    fn new(dtype: DType, skipped: usize, [outer, count, inner]: [usize; 3]) -> Self {
        let (width, lanes, rows) = if inner == 1 {
            // Each row starts at the start of a pack, or numbers are read one by one.
            let length = if outer == 1 { skipped } else { count };
            let width = step(dtype, length).min(step(dtype, skipped));
            let lanes = count.div_ceil(width).next_power_of_two().min(LANES);
            (width, lanes, lanes * width * STEPS[0])
        } else {
            let width = step(dtype, inner).min(step(dtype, skipped));
            let lanes = (inner / width).clamp(1, LANES);
            (width, lanes, BLOCK / lanes * STEPS[1])
        };
        let [outer, count, inner, rows] = [outer, count, inner, rows].map(|x| x as i64);
        let splits = ((count + rows - 1) / rows).max(1);
        Sums {
            outer,
            count,
            inner,
            skipped: skipped as i64,
            splits,
            rows,
            factor: 1.0,
            lanes: lanes as i32,
            width: width as i32,
        }
    }

    /// Parts that the sums are cut into.
    fn parts(&self) -> usize {
        (self.outer * self.splits * self.inner) as usize
    }

    fn run(self, device: &Cuda, x: &CudaBuffer, out: &mut CudaBuffer) -> Result<()> {
        let (kernel, count) = if self.inner == 1 {
            ("sum_rows", (self.parts() * self.lanes as usize).div_ceil(BLOCK))
        } else {
            let tiles = (self.inner as usize / self.width as usize).div_ceil(self.lanes as usize);
            ("sum_columns", (self.outer * self.splits) as usize * tiles)
        };
        let defines = [("IN", Cuda::real(NAME, x.dtype())?), ("OUT", Cuda::real(NAME, out.dtype())?)];
        let launch = Launch {
            source: &SUM,
            defines: &defines,
            kernel,
            grid: [blocks(NAME, &[count])?, 1, 1],
            block: BLOCK as u32,
            shared: 0,
        };
        // SAFETY: `x` holds `[outer, count, inner]` numbers after those that are skipped, `out` has room for the parts.
        unsafe { device.launch(launch, Arguments::new().output(out).input(x).value(self)) }
    }
}

/// `factor` times the sums over the middle axis of the `[outer, count, inner]` numbers of `x`, `[outer, inner]`, in any of
/// the types of kernels.
///
/// # Errors
/// [`cellseg_core::Error::DType`], and those of [`Cuda::launch`].
pub(crate) fn sum_middle(
    device: &Arc<Cuda>,
    x: &CudaBuffer,
    sizes: [usize; 3],
    factor: f64,
    out: &mut CudaBuffer,
) -> Result<()> {
    sum_middle_after(device, x, 0, sizes, factor, out)
}

/// [`sum_middle`] of the numbers after the first `skipped`.
///
/// # Errors
/// As for [`sum_middle`].
pub(crate) fn sum_middle_after(
    device: &Arc<Cuda>,
    x: &CudaBuffer,
    skipped: usize,
    [outer, count, inner]: [usize; 3],
    factor: f64,
    out: &mut CudaBuffer,
) -> Result<()> {
    let sums = Sums::new(x.dtype(), skipped, [outer, count, inner]);
    if sums.splits == 1 {
        return Sums { factor: factor as f32, ..sums }.run(device, x, out);
    }
    let mut parts = CudaBuffer::new(device, DType::F32, sums.parts())?;
    sums.run(device, x, &mut parts)?;
    sum_middle(device, &parts, [outer, sums.splits as usize, inner], factor, out)
}

/// `factor` times the sums that the `steps` lead to, each `[outer, count, inner]`.
pub(super) fn sum_steps(
    device: &Arc<Cuda>,
    x: &CudaBuffer,
    steps: &[[usize; 3]],
    factor: f64,
    out: &mut CudaBuffer,
) -> Result<()> {
    let Some((last, steps)) = steps.split_last() else {
        return pointwise::cuda::linear(device, factor, 0.0, x, out);
    };
    let mut sums: Option<CudaBuffer> = None;
    for [outer, count, inner] in steps {
        let mut next = CudaBuffer::new(device, DType::F32, outer * inner)?;
        sum_middle(device, sums.as_ref().unwrap_or(x), [*outer, *count, *inner], 1.0, &mut next)?;
        sums = Some(next);
    }
    sum_middle(device, sums.as_ref().unwrap_or(x), *last, factor, out)
}
