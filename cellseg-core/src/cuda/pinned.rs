//! Copies between host and GPU that run beside its kernels.

use super::{Cuda, CudaBuffer, driver::failed, event::Event};
use crate::{Buffer, DType, Element, Error, Result, Shape, Tensor};
use cudarc::driver::result;
use std::{ffi::c_void, ptr::NonNull, sync::Arc};

/// Host memory that a GPU copies from and to by itself (page-locked), while the host and the kernels go on.
///
/// Copies are queued on a stream of their own. Two of these each way keep a GPU busy: while one window is computed, the
/// next is on its way in and the last on its way out.
pub struct Pinned {
    start: NonNull<c_void>,
    dtype: DType,
    count: usize,
    device: Arc<Cuda>,
    /// The copy under way, and what it reads on the device.
    under_way: Option<(Arc<Event>, Option<Tensor>)>,
}

// SAFETY: the only owner of plain memory; the event and the tensor that it holds may go to other threads.
unsafe impl Send for Pinned {}

impl Pinned {
    /// Room for `count` numbers, all zero.
    ///
    /// # Errors
    /// [`Error::Memory`] where the host has not so much memory to spare for good.
    pub fn new(device: &Arc<Cuda>, dtype: DType, count: usize) -> Result<Self> {
        let memory = |bytes| Error::Memory { bytes, device: "the CPU (page-locked)".into() };
        let bytes = count.checked_mul(dtype.size()).ok_or_else(|| memory(usize::MAX))?.max(1);
        device.bind().map_err(|e| failed(format!("page-locked memory for {}", device.name()), e))?;
        // SAFETY: the size is not zero; no flags.
        let start = unsafe { result::malloc_host(bytes, 0) }.map_err(|_| memory(bytes))?;
        let start = NonNull::new(start).ok_or_else(|| memory(bytes))?;
        // SAFETY: `bytes` bytes were just allocated; so that no one reads what was never written.
        unsafe { start.cast::<u8>().write_bytes(0, bytes) };
        Ok(Pinned { start, dtype, count, device: device.clone(), under_way: None })
    }

    /// The numbers, after the copy under way.
    ///
    /// # Errors
    /// [`Error::DType`] where they are not of type `T`; [`Error::Device`] where the copy, or work before it, failed.
    pub fn as_slice<T: Element>(&mut self) -> Result<&[T]> {
        Ok(self.as_mut_slice()?)
    }

    /// The numbers to write to, after the copy under way.
    ///
    /// # Errors
    /// As for [`Pinned::as_slice`].
    pub fn as_mut_slice<T: Element>(&mut self) -> Result<&mut [T]> {
        if T::DTYPE != self.dtype {
            let expected = std::any::type_name::<T>();
            return Err(Error::DType { op: "page-locked memory", found: self.dtype, expected });
        }
        self.finish()?;
        // SAFETY: initialised memory for this many numbers, aligned to a page, that no copy touches any more; every bit
        // pattern is a value of an `Element`.
        Ok(unsafe { std::slice::from_raw_parts_mut(self.start.cast().as_ptr(), self.count) })
    }

    /// Starts a copy to fresh memory of the GPU and returns at once. It begins when the kernels queued so far are done,
    /// which may still use the memory that it goes to.
    ///
    /// # Errors
    /// [`Error::Count`] where the numbers do not fill the shape exactly; [`Error::Memory`]; [`Error::Device`].
    pub fn upload(&mut self, dims: &[usize]) -> Result<Upload> {
        let shape = Shape::new(dims)?;
        if shape.count() != self.count {
            return Err(Error::Count { given: self.count, shape });
        }
        self.finish()?;
        let to = CudaBuffer::new(&self.device, self.dtype, self.count)?;
        let bytes = self.count * self.dtype.size();
        // SAFETY: initialised memory of this size, which nobody writes to before the copy is done: see `finish`.
        let from = unsafe { std::slice::from_raw_parts(self.start.cast::<u8>().as_ptr(), bytes) };
        // SAFETY: the block holds as many bytes, and is kept by `Upload` until the compute stream waits for the copy.
        let done = self.queue(|stream| unsafe { result::memcpy_htod_async(to.address(), from, stream) })?;
        self.under_way = Some((done.clone(), None));
        Ok(Upload {
            tensor: Some(Tensor::from_buffer(shape, Buffer::Cuda(to))?),
            done,
            device: self.device.clone(),
        })
    }

    /// Starts a copy of a tensor's numbers to this memory and returns at once. It begins when the kernels queued so far
    /// are done.
    ///
    /// # Errors
    /// [`Error::Argument`] where type or count differ, [`Error::Device`] where the tensor lies elsewhere.
    pub fn download(&mut self, from: &Tensor) -> Result<()> {
        let Buffer::Cuda(buffer) = from.buffer() else {
            return Err(Error::Device("only the numbers of a GPU are downloaded".into()));
        };
        if !Arc::ptr_eq(buffer.device(), &self.device) {
            return Err(Error::Device(format!("the tensor is not on {}", self.device.name())));
        }
        if buffer.dtype() != self.dtype || buffer.len() != self.count {
            let given = format!("{} numbers of type {:?}", buffer.len(), buffer.dtype());
            let why = format!("{given} for room for {} of type {:?}", self.count, self.dtype);
            return Err(Error::argument("download", why));
        }
        self.finish()?;
        let bytes = self.count * self.dtype.size();
        // SAFETY: memory of this size, which nobody touches before the copy is done: see `finish`.
        let to = unsafe { std::slice::from_raw_parts_mut(self.start.cast::<u8>().as_ptr(), bytes) };
        let address = buffer.address();
        // SAFETY: the block holds as many bytes, and is kept until the copy is done.
        let done = self.queue(|stream| unsafe { result::memcpy_dtoh_async(to, address, stream) })?;
        self.under_way = Some((done, Some(from.detached())));
        Ok(())
    }

    /// Queues a copy after the kernels queued so far, and returns the point at which it is done.
    fn queue(
        &self,
        copy: impl FnOnce(cudarc::driver::sys::CUstream) -> std::result::Result<(), cudarc::driver::DriverError>,
    ) -> Result<Arc<Event>> {
        let (device, stream) = (&self.device, self.device.copy_stream());
        Event::record(device, device.stream())?.hold(stream)?;
        let done = copy(stream)
            .map_err(|e| failed(format!("a copy beside the kernels of {}", device.name()), e))
            .and_then(|()| Event::record(device, stream));
        if done.is_err() {
            // Both ends of a copy that may be under way are let go by the caller.
            // SAFETY: the stream lives as long as the device.
            let _ = unsafe { result::stream::synchronize(stream) };
        }
        done.map(Arc::new)
    }

    /// Waits for the copy under way.
    fn finish(&mut self) -> Result<()> {
        match self.under_way.take() {
            Some((done, _from)) => done.wait(),
            None => Ok(()),
        }
    }
}

impl Drop for Pinned {
    fn drop(&mut self) {
        // A failure of the copy is reported by whatever asks for its result.
        let _ = self.finish();
        let _ = self.device.bind();
        // SAFETY: made by `malloc_host` and freed once; no copy is under way.
        let _ = unsafe { result::free_host(self.start.as_ptr()) };
    }
}

/// Numbers on their way to a GPU.
pub struct Upload {
    /// Taken out by `arrive`.
    tensor: Option<Tensor>,
    done: Arc<Event>,
    device: Arc<Cuda>,
}

impl Upload {
    /// The tensor. Kernels queued from now on begin after the copy; call this as late as possible, so that those before
    /// it need not wait.
    ///
    /// # Errors
    /// [`Error::Device`].
    pub fn arrive(mut self) -> Result<Tensor> {
        self.done.hold(self.device.stream())?;
        self.tensor.take().ok_or_else(|| Error::Device("an upload arrives once".into()))
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        if self.tensor.is_some() {
            // Whoever gets the memory next must not write to it before the copy has.
            let _ = self.done.hold(self.device.stream());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs where there is a device, the emulated one included.
    #[test]
    fn numbers_go_to_the_gpu_and_back_through_page_locked_memory() -> Result<()> {
        let device = match Cuda::probe(0) {
            Ok(device) => device,
            Err(why) => {
                println!("skipped: {why}");
                return Ok(());
            }
        };
        let mut there = Pinned::new(&device, DType::F32, 6)?;
        let mut back = Pinned::new(&device, DType::F32, 6)?;
        assert_eq!(there.as_slice::<f32>()?, [0.0; 6]);
        for round in 0..3 {
            let numbers: Vec<f32> = (0..6).map(|i| (10 * round + i) as f32).collect();
            there.as_mut_slice::<f32>()?.copy_from_slice(&numbers);
            let tensor = there.upload(&[2, 3])?.arrive()?;
            assert_eq!(tensor.to_vec::<f32>()?, numbers);
            back.download(&tensor)?;
            drop(tensor);
            assert_eq!(back.as_slice::<f32>()?, numbers);
        }
        assert!(there.upload(&[7]).is_err());
        assert!(there.as_slice::<i32>().is_err());
        assert!(back.download(&Tensor::scalar(1.0f32)?).is_err());
        Ok(())
    }
}
