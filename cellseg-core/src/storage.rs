//! Where the numbers of a tensor lie.

use rayon::prelude::*;

use crate::{DType, Device, Element, Error, Result, cuda::CudaBuffer, dtype::dispatch, memory::Bytes};

/// How many numbers one thread takes at a time: large enough to hide the hand-over, small enough for a cache.
pub(crate) const PIECE: usize = 1 << 15;

/// Numbers of one type in host memory, aligned to 64 bytes.
pub struct CpuBuffer {
    bytes: Bytes,
    dtype: DType,
}

impl CpuBuffer {
    /// Room for `count` numbers, with unspecified values.
    ///
    /// # Errors
    /// [`Error::Memory`].
    pub fn new(dtype: DType, count: usize) -> Result<Self> {
        let bytes = count
            .checked_mul(dtype.size())
            .ok_or_else(|| Error::Memory { bytes: usize::MAX, device: "the CPU".into() })?;
        Ok(CpuBuffer { bytes: Bytes::new(bytes)?, dtype })
    }

    /// A buffer of these numbers.
    ///
    /// # Errors
    /// [`Error::Memory`].
    pub fn from_slice<T: Element>(xs: &[T]) -> Result<Self> {
        let mut buffer = Self::new(T::DTYPE, xs.len())?;
        if let Some(out) = buffer.as_mut_slice() {
            out.copy_from_slice(xs);
        }
        Ok(buffer)
    }

    /// The type of the numbers.
    pub fn dtype(&self) -> DType {
        self.dtype
    }

    /// How many numbers there are.
    pub fn len(&self) -> usize {
        self.bytes.len() / self.dtype.size()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The numbers, where they are of type `T`.
    pub fn as_slice<T: Element>(&self) -> Option<&[T]> {
        // SAFETY: the memory is initialised, aligned to 64 bytes and lives as long as `self`; every bit pattern is a
        // value of an `Element`, and `len` elements of this type fit.
        (T::DTYPE == self.dtype)
            .then(|| unsafe { std::slice::from_raw_parts(self.bytes.start().as_ptr().cast(), self.len()) })
    }

    /// The numbers to write to, where they are of type `T`.
    pub fn as_mut_slice<T: Element>(&mut self) -> Option<&mut [T]> {
        // SAFETY: as in `as_slice`, and `self` is borrowed mutably.
        (T::DTYPE == self.dtype).then(|| unsafe {
            std::slice::from_raw_parts_mut(self.bytes.start().as_ptr().cast(), self.len())
        })
    }

    /// The bytes of the numbers, in the machine's order.
    pub fn as_bytes(&self) -> &[u8] {
        // SAFETY: initialised memory that lives as long as `self`; any byte is a `u8`.
        unsafe { std::slice::from_raw_parts(self.bytes.start().as_ptr(), self.bytes.len()) }
    }

    /// The bytes of the numbers to write to, in the machine's order.
    pub fn as_mut_bytes(&mut self) -> &mut [u8] {
        // SAFETY: as in `as_bytes`, borrowed mutably; every bit pattern is a value of an `Element`.
        unsafe { std::slice::from_raw_parts_mut(self.bytes.start().as_ptr(), self.bytes.len()) }
    }

    /// A copy with the numbers rounded to `dtype`.
    pub(crate) fn cast(&self, dtype: DType) -> Result<Self> {
        let mut out = Self::new(dtype, self.len())?;
        if dtype == self.dtype {
            out.as_mut_bytes().copy_from_slice(self.as_bytes());
            return Ok(out);
        }
        dispatch!(self.dtype, A => dispatch!(dtype, B => {
            if let (Some(xs), Some(ys)) = (self.as_slice::<A>(), out.as_mut_slice::<B>()) {
                ys.par_chunks_mut(PIECE).zip(xs.par_chunks(PIECE)).for_each(|(ys, xs)| {
                    for (y, x) in ys.iter_mut().zip(xs) {
                        *y = B::of(x.wide());
                    }
                });
            }
        }));
        Ok(out)
    }
}

/// The numbers of a tensor, on one device.
pub enum Buffer {
    /// In host memory.
    Cpu(CpuBuffer),
    /// In the memory of a GPU.
    Cuda(CudaBuffer),
}

impl Buffer {
    /// The type of the numbers.
    pub fn dtype(&self) -> DType {
        match self {
            Buffer::Cpu(b) => b.dtype(),
            Buffer::Cuda(b) => b.dtype(),
        }
    }

    /// The device that holds them.
    pub fn device(&self) -> Device {
        match self {
            Buffer::Cpu(_) => Device::Cpu,
            Buffer::Cuda(b) => Device::Cuda(b.device().clone()),
        }
    }

    /// `self += other`, element by element.
    pub(crate) fn accumulate(&mut self, other: &Buffer) -> Result<()> {
        const NAME: &str = "gradient sum";
        match (self, other) {
            (Buffer::Cpu(sum), Buffer::Cpu(x)) => dispatch!(sum.dtype(), T => {
                match (sum.as_mut_slice::<T>(), x.as_slice::<T>()) {
                    (Some(sum), Some(x)) if sum.len() == x.len() => {
                        sum.par_chunks_mut(PIECE).zip(x.par_chunks(PIECE)).for_each(|(sum, x)| {
                            for (s, x) in sum.iter_mut().zip(x) {
                                *s += *x;
                            }
                        });
                        Ok(())
                    }
                    _ => Err(Error::argument(NAME, "two gradients of one tensor differ in type or size")),
                }
            }),
            (Buffer::Cuda(sum), Buffer::Cuda(x)) => sum.accumulate(x),
            _ => Err(Error::Device(format!("{NAME}: two gradients of one tensor lie on different devices"))),
        }
    }
}
