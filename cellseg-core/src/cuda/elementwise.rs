//! The two computations that tensors themselves need: rounding to another type, and the sum of two gradients.

use super::{Arguments, Cuda, CudaBuffer, Launch, Source};
use crate::{DType, Error, Result};

const CAST: Source = crate::cuda_source!("cuda/cast.cu");
const ACCUMULATE: Source = crate::cuda_source!("cuda/accumulate.cu");

/// Threads of a block, and numbers that a thread takes at a time: those of the kernels.
const BLOCK: usize = 256;
const PACK: usize = 4;

/// As many blocks as keep the device busy; each takes more than one piece where there are more.
fn blocks(device: &Cuda, count: usize) -> u32 {
    let most = 16 * device.multiprocessors().max(1);
    count.div_ceil(BLOCK * PACK).clamp(1, most) as u32
}

impl CudaBuffer {
    /// A copy with the numbers rounded to `dtype`.
    pub(crate) fn cast(&self, dtype: DType) -> Result<Self> {
        if dtype == self.dtype() {
            return self.copy();
        }
        let device = self.device();
        let mut out = Self::new(device, dtype, self.len())?;
        let (from, to) = (Cuda::real("cast", self.dtype())?, Cuda::real("cast", dtype)?);
        let launch = Launch {
            source: &CAST,
            defines: &[("FROM", from), ("TO", to)],
            kernel: "cast",
            grid: [blocks(device, self.len()), 1, 1],
            block: BLOCK as u32,
            shared: 0,
        };
        let arguments = Arguments::new().output(&mut out).input(self).value(self.len() as i64);
        // SAFETY: both buffers hold this many numbers of the types that the kernel is compiled for.
        unsafe { device.launch(launch, arguments)? };
        Ok(out)
    }

    /// `self += other`, element by element.
    pub(crate) fn accumulate(&mut self, other: &CudaBuffer) -> Result<()> {
        const NAME: &str = "gradient sum";
        if self.dtype() != other.dtype() || self.len() != other.len() {
            return Err(Error::argument(NAME, "two gradients of one tensor differ in type or size"));
        }
        let device = self.device().clone();
        let launch = Launch {
            source: &ACCUMULATE,
            defines: &[("REAL", Cuda::real(NAME, self.dtype())?)],
            kernel: "accumulate",
            grid: [blocks(&device, self.len()), 1, 1],
            block: BLOCK as u32,
            shared: 0,
        };
        let count = self.len() as i64;
        // SAFETY: both buffers hold this many numbers of the type that the kernel is compiled for.
        unsafe { device.launch(launch, Arguments::new().output(self).input(other).value(count)) }
    }
}
