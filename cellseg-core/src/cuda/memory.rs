//! Device memory: a cache like that of the host, see [`crate::memory`].
//!
//! A block that is given back may still be read by work in the stream. Whoever gets it next writes to it in the same
//! stream, hence later, so nothing has to wait.

use super::{Cuda, driver::failed};
use crate::{Error, Result, memory::Stats};
use cudarc::driver::{
    DriverError,
    result::{self, mem_pool},
    sys,
};
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// Sizes are rounded up to this many bytes, which is also how the driver aligns.
const GRAIN: usize = 512;

/// The same for the emulated device: what is read or written behind a buffer is seen there, up to one pack of numbers.
const EMULATED_GRAIN: usize = 16;

/// The driver's pool of a device, told to keep what is freed: by itself it returns memory to the system at every
/// synchronisation.
pub(super) struct Pool(sys::CUmemoryPool);

// SAFETY: the handle of a pool that lives as long as the device; the driver's calls on it may come from any thread.
unsafe impl Send for Pool {}
// SAFETY: as above.
unsafe impl Sync for Pool {}

impl Pool {
    pub(super) fn of(device: sys::CUdevice) -> std::result::Result<Self, DriverError> {
        let mut keep = u64::MAX;
        // SAFETY: the device exists, and the attribute is a 64-bit number.
        unsafe {
            let pool = result::device::get_default_mem_pool(device)?;
            mem_pool::set_attribute(
                pool,
                sys::CUmemPool_attribute::CU_MEMPOOL_ATTR_RELEASE_THRESHOLD,
                (&raw mut keep).cast(),
            )?;
            Ok(Pool(pool))
        }
    }
}

#[derive(Default)]
struct State {
    free: HashMap<usize, Vec<sys::CUdeviceptr>>,
    stats: Stats,
    /// The most bytes ever in use at once: the bound of what is kept.
    most: usize,
}

/// Blocks of device memory that were given back, by size.
pub(super) struct Cache {
    state: Mutex<State>,
    pool: Option<Pool>,
    /// Whether this is the emulated device. Reused memory is filled with NaN then, as fresh memory is there: a number
    /// that is read before it was written shows in every result.
    emulated: bool,
}

impl Cache {
    pub(super) fn new(pool: Option<Pool>, emulated: bool) -> Self {
        Cache { state: Mutex::default(), pool, emulated }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // A panic cannot leave the counters half updated.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn stats(&self) -> Stats {
        self.state().stats
    }

    pub(super) fn reset_peak(&self) {
        let mut state = self.state();
        state.stats.peak = state.stats.live;
    }

    pub(super) fn trim(&self, device: &Cuda) {
        let kept = {
            let mut state = self.state();
            state.stats.cached = 0;
            std::mem::take(&mut state.free)
        };
        for address in kept.into_values().flatten() {
            self.release(device, address);
        }
        // What was freed in the stream's order can be returned only when the stream has come that far. A failure of
        // earlier work is reported by whatever asks for a result next.
        let _ = device.synchronize();
        if let Some(pool) = &self.pool {
            // SAFETY: the pool lives as long as the device.
            let _ = unsafe { mem_pool::trim_to(pool.0, 0) };
        }
    }

    fn obtain(&self, device: &Cuda, bytes: usize) -> std::result::Result<sys::CUdeviceptr, DriverError> {
        device.bind()?;
        // SAFETY: the size is not zero, and the stream lives as long as the device.
        unsafe {
            match self.pool {
                Some(_) => result::malloc_async(device.stream(), bytes),
                None => result::malloc_sync(bytes),
            }
        }
    }

    fn release(&self, device: &Cuda, address: sys::CUdeviceptr) {
        // A failure here is one of earlier work, or of a process that ends: there is nothing to do about it.
        let _ = device.bind();
        // SAFETY: the address came from `obtain` and is released once. Without a pool the call waits for the device.
        let _ = unsafe {
            match self.pool {
                Some(_) => result::free_async(address, device.stream()),
                None => result::free_sync(address),
            }
        };
    }
}

/// Device memory, given back on drop.
pub(super) struct Block {
    address: sys::CUdeviceptr,
    bytes: usize,
    device: Arc<Cuda>,
}

impl Block {
    /// At least `bytes` bytes with unspecified values.
    pub(super) fn new(device: &Arc<Cuda>, bytes: usize) -> Result<Self> {
        let cache = device.cache();
        let grain = if cache.emulated { EMULATED_GRAIN } else { GRAIN };
        let bytes = bytes.max(1).checked_next_multiple_of(grain).unwrap_or(usize::MAX);
        let kept = {
            let mut state = cache.state();
            let kept = state.free.get_mut(&bytes).and_then(Vec::pop);
            if kept.is_some() {
                state.stats.cached -= bytes;
            }
            kept
        };
        let address = match kept {
            Some(address) => address,
            None => cache.obtain(device, bytes).or_else(|e| {
                if e.0 != sys::CUresult::CUDA_ERROR_OUT_OF_MEMORY {
                    return Err(failed(format!("memory of {}", device.name()), e));
                }
                cache.trim(device);
                cache.obtain(device, bytes).map_err(|_| Error::Memory { bytes, device: device.name() })
            })?,
        };
        {
            let mut state = cache.state();
            state.stats.fresh += u64::from(kept.is_none());
            state.stats.live += bytes;
            state.stats.peak = state.stats.peak.max(state.stats.live);
            state.most = state.most.max(state.stats.live);
        }
        let block = Block { address, bytes, device: device.clone() };
        if kept.is_some() && cache.emulated {
            block.fill(0xff)?;
        }
        Ok(block)
    }

    /// Every byte set to `byte`, in the stream's order.
    pub(super) fn fill(&self, byte: u8) -> Result<()> {
        let device = &self.device;
        device
            .bind()
            // SAFETY: the block holds this many bytes.
            .and_then(|()| unsafe {
                result::memset_d8_async(self.address, byte, self.bytes, device.stream())
            })
            .map_err(|e| failed(format!("memory of {}", device.name()), e))
    }

    pub(super) fn address(&self) -> sys::CUdeviceptr {
        self.address
    }

    pub(super) fn device(&self) -> &Arc<Cuda> {
        &self.device
    }
}

impl Drop for Block {
    fn drop(&mut self) {
        let cache = self.device.cache();
        let surplus = {
            let mut state = cache.state();
            state.stats.live -= self.bytes;
            let surplus = state.stats.cached + self.bytes > state.most;
            if !surplus {
                state.stats.cached += self.bytes;
                state.free.entry(self.bytes).or_default().push(self.address);
            }
            surplus
        };
        if surplus {
            cache.release(&self.device, self.address);
        }
    }
}
