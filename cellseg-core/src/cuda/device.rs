//! One GPU and the streams that its work is queued on.

use super::{
    Arguments, Launch, driver,
    driver::failed,
    event::Event,
    functions::Functions,
    memory::{Cache, Pool},
};
use crate::{Error, Result, memory::Stats};
use cudarc::driver::{
    CudaContext, CudaStream,
    result::{self, device},
    sys,
    sys::CUdevice_attribute_enum as Attribute,
};
use std::{
    collections::BTreeMap,
    ffi::c_int,
    sync::{Arc, Mutex, PoisonError},
};

/// One NVIDIA GPU, the stream that all of its kernels are queued on, and one for copies beside them.
pub struct Cuda {
    context: Arc<CudaContext>,
    stream: Arc<CudaStream>,
    /// The stream of copies that run beside kernels.
    copies: Arc<CudaStream>,
    name: String,
    capability: (u32, u32),
    multiprocessors: usize,
    shared_per_block: usize,
    memory: Cache,
    functions: Functions,
}

/// The GPUs in use, by ordinal: a GPU is opened once, so that tensors of two callers can meet.
static OPEN: Mutex<BTreeMap<usize, Arc<Cuda>>> = Mutex::new(BTreeMap::new());

impl Cuda {
    /// The GPU with this ordinal, the same one at every call.
    ///
    /// # Errors
    /// [`Error::Device`] says what is missing and what to install: the driver library, a GPU, or a newer driver.
    pub fn probe(ordinal: usize) -> Result<Arc<Self>> {
        // A panic cannot leave the table half changed.
        let mut open = OPEN.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = open.get(&ordinal) {
            return Ok(known.clone());
        }
        driver::start()?;
        let cuda = Arc::new(Self::open(ordinal)?);
        open.insert(ordinal, cuda.clone());
        Ok(cuda)
    }

    /// Whether the machine has a CUDA driver library: where it has, a GPU that cannot be used is worth a word.
    pub fn driver_is_there() -> bool {
        driver::is_there()
    }

    /// How many GPUs the driver shows; fewer than there are where `CUDA_VISIBLE_DEVICES` says so.
    ///
    /// # Errors
    /// As for [`Cuda::probe`].
    pub fn count() -> Result<usize> {
        driver::start()?;
        device::get_count().map(|n| usize::try_from(n).unwrap_or(0)).map_err(|e| failed("counting GPUs", e))
    }

    fn open(ordinal: usize) -> Result<Self> {
        let what = format!("CUDA device {ordinal}");
        let number = c_int::try_from(ordinal).unwrap_or(c_int::MAX);
        // Asked here and not left to the context: a context is made only for a device that is there.
        let handle = device::get(number).map_err(|e| failed(&what, e))?;
        let context = CudaContext::new(ordinal).map_err(|e| failed(&what, e))?;
        // SAFETY: nothing is allocated yet. With one stream, order is the stream's; events would cost two calls an
        // allocation.
        unsafe { context.disable_event_tracking() };
        let read = || -> std::result::Result<Self, cudarc::driver::DriverError> {
            let (stream, copies) = (context.new_stream()?, context.new_stream()?);
            let ask = |a| context.attribute(a).map(|v| u32::try_from(v).unwrap_or(0));
            let capability = (
                ask(Attribute::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR)?,
                ask(Attribute::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR)?,
            );
            let name = context.name()?;
            let pool = context.has_async_alloc().then(|| Pool::of(handle)).transpose()?;
            Ok(Cuda {
                multiprocessors: ask(Attribute::CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT)? as usize,
                shared_per_block: ask(Attribute::CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN)?
                    as usize,
                memory: Cache::new(pool, name.contains("emulated")),
                functions: Functions::default(),
                context: context.clone(),
                capability,
                stream,
                copies,
                name,
            })
        };
        let cuda = read().map_err(|e| failed(&what, e))?;
        if cuda.capability < (7, 5) {
            let (major, minor) = cuda.capability;
            return Err(Error::Device(format!(
                "{}: compute capability {major}.{minor}, where 7.5 (Turing) or newer is needed; use the CPU",
                cuda.name
            )));
        }
        Ok(cuda)
    }

    /// Whether kernels can be compiled for this device.
    ///
    /// # Errors
    /// [`Error::Device`] says where libnvrtc was looked for.
    pub fn can_compile(&self) -> Result<()> {
        super::nvrtc::Compiler::get().map(|_| ())
    }

    /// The device's name, as the driver gives it.
    pub fn name(&self) -> String {
        self.name.clone()
    }

    /// Which GPU of the machine this is, as [`Cuda::probe`] counts.
    pub fn ordinal(&self) -> usize {
        self.context.ordinal()
    }

    /// The compute capability: `(9, 0)` is Hopper.
    pub fn capability(&self) -> (u32, u32) {
        self.capability
    }

    /// How many multiprocessors there are, each of which runs blocks of its own.
    pub fn multiprocessors(&self) -> usize {
        self.multiprocessors
    }

    /// The most bytes of shared memory that a block can have.
    pub fn shared_per_block(&self) -> usize {
        self.shared_per_block
    }

    /// Queues a kernel. It is compiled first where it has not been yet, which takes about half a second.
    ///
    /// # Safety
    /// The kernel must stay within the buffers given to it and read no number that was not written: the device checks
    /// neither.
    ///
    /// # Errors
    /// [`Error::Device`] where the kernel cannot be compiled or launched, or work queued before it failed.
    pub unsafe fn launch(&self, launch: Launch<'_>, mut arguments: Arguments) -> Result<()> {
        let failed = |e| failed(format!("{} of {} on {}", launch.kernel, launch.source.name, self.name), e);
        self.bind().map_err(failed)?;
        let function = self.functions.get(self, &launch)?;
        let [x, y, z] = launch.grid;
        if x == 0 || y == 0 || z == 0 {
            return Ok(());
        }
        // SAFETY: the function belongs to this context, the pointers are to the arguments, which outlive the call that
        // copies them; the rest is the caller's promise.
        unsafe {
            result::launch_kernel(
                function,
                (x, y, z),
                (launch.block, 1, 1),
                launch.shared as u32,
                self.stream(),
                &mut arguments.pointers(),
            )
        }
        .map_err(failed)
    }

    /// Waits for all that was queued.
    ///
    /// # Errors
    /// [`Error::Device`] where any of it failed.
    pub fn synchronize(&self) -> Result<()> {
        self.bind()
            // SAFETY: the stream lives as long as `self`.
            .and_then(|()| unsafe { result::stream::synchronize(self.stream()) })
            .map_err(|e| failed(format!("waiting for {}", self.name), e))
    }

    /// Runs `work` and returns, beside its result, the seconds that the device was at what it queued.
    ///
    /// # Errors
    /// Those of `work`; [`Error::Device`] where what it queued failed.
    pub fn timed<R>(self: &Arc<Self>, work: impl FnOnce() -> Result<R>) -> Result<(R, f64)> {
        let start = Event::record_time(self, self.stream())?;
        let result = work()?;
        let end = Event::record_time(self, self.stream())?;
        Ok((result, end.seconds_since(&start)?))
    }

    /// The counters of the device's memory.
    pub fn memory(&self) -> Stats {
        self.memory.stats()
    }

    /// Starts the peak counter afresh from what is in use now.
    pub fn reset_peak(&self) {
        self.memory.reset_peak();
    }

    /// Gives all kept memory back to the driver, for other programs on the same GPU.
    pub fn trim(&self) {
        self.memory.trim(self);
    }

    /// The context becomes the calling thread's.
    pub(super) fn bind(&self) -> std::result::Result<(), cudarc::driver::DriverError> {
        self.context.bind_to_thread()
    }

    pub(super) fn stream(&self) -> sys::CUstream {
        self.stream.cu_stream()
    }

    pub(super) fn copy_stream(&self) -> sys::CUstream {
        self.copies.cu_stream()
    }

    pub(super) fn cache(&self) -> &Cache {
        &self.memory
    }
}
