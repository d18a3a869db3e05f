//! Points in a stream that another stream, or the host, can wait for.

use super::{Cuda, driver::failed};
use crate::{Error, Result};
use cudarc::driver::{
    DriverError,
    result::{event, stream},
    sys,
};
use std::sync::Arc;

/// A point in a stream.
pub(super) struct Event {
    handle: sys::CUevent,
    device: Arc<Cuda>,
}

// SAFETY: a handle of a context that lives as long as the device; the driver takes it from any thread.
unsafe impl Send for Event {}
// SAFETY: as above.
unsafe impl Sync for Event {}

impl Event {
    /// The point that `stream` has come to when all that is queued on it now is done.
    pub(super) fn record(device: &Arc<Cuda>, stream: sys::CUstream) -> Result<Self> {
        Self::with(device, stream, sys::CUevent_flags::CU_EVENT_DISABLE_TIMING)
    }

    /// The same, with the time at which the stream comes there.
    pub(super) fn record_time(device: &Arc<Cuda>, stream: sys::CUstream) -> Result<Self> {
        Self::with(device, stream, sys::CUevent_flags::CU_EVENT_DEFAULT)
    }

    fn with(device: &Arc<Cuda>, stream: sys::CUstream, flags: sys::CUevent_flags) -> Result<Self> {
        let make = || -> std::result::Result<sys::CUevent, DriverError> {
            device.bind()?;
            event::create(flags)
        };
        let handle = make().map_err(|e| failed(format!("an event on {}", device.name()), e))?;
        let made = Event { handle, device: device.clone() };
        // SAFETY: both belong to this device's context.
        made.then(|| unsafe { event::record(handle, stream) })?;
        Ok(made)
    }

    /// What is queued on `stream` from now on begins after this point.
    pub(super) fn hold(&self, stream: sys::CUstream) -> Result<()> {
        // SAFETY: both belong to this device's context.
        self.then(|| unsafe {
            stream::wait_event(stream, self.handle, sys::CUevent_wait_flags::CU_EVENT_WAIT_DEFAULT)
        })
    }

    /// Returns when the stream has come to this point.
    pub(super) fn wait(&self) -> Result<()> {
        // SAFETY: the event was recorded.
        self.then(|| unsafe { event::synchronize(self.handle) })
    }

    /// Seconds on the device's clock from `start` to this point, after waiting for it. Both must have been recorded with
    /// their time.
    pub(super) fn seconds_since(&self, start: &Event) -> Result<f64> {
        self.wait()?;
        let mut milliseconds = 0f32;
        // `cudarc` calls the second version of this function, which drivers before 12.8 do not have.
        // SAFETY: the library was opened when the device was; the signature is that of the driver's header.
        let elapsed = unsafe {
            type Elapsed = unsafe extern "C" fn(*mut f32, sys::CUevent, sys::CUevent) -> sys::CUresult;
            sys::culib().get::<Elapsed>(b"cuEventElapsedTime\0")
        };
        let elapsed = elapsed.map_err(|e| Error::Device(format!("the driver cannot time: {e}")))?;
        // SAFETY: both events are recorded, and the later one has passed.
        self.then(|| unsafe { elapsed(&raw mut milliseconds, start.handle, self.handle).result() })?;
        Ok(f64::from(milliseconds) * 1e-3)
    }

    fn then(&self, call: impl FnOnce() -> std::result::Result<(), DriverError>) -> Result<()> {
        self.device
            .bind()
            .and_then(|()| call())
            .map_err(|e| failed(format!("work queued on {}", self.device.name()), e))
    }
}

impl Drop for Event {
    fn drop(&mut self) {
        // A failure here is one of earlier work, which is reported where its result is asked for.
        let _ = self.device.bind();
        // SAFETY: made by `create` and destroyed once; the driver waits where the point is still ahead.
        let _ = unsafe { event::destroy(self.handle) };
    }
}
