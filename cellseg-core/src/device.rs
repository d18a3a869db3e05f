//! Where a tensor lies and an operation runs.

use crate::{Result, cuda::Cuda};
use std::{fmt, sync::Arc};

/// Where a tensor lies and an operation runs.
#[derive(Clone, Default)]
pub enum Device {
    /// The host: all cores of rayon's current thread pool.
    #[default]
    Cpu,
    /// One NVIDIA GPU.
    Cuda(Arc<Cuda>),
}

impl Device {
    /// The NVIDIA GPU with this ordinal.
    ///
    /// # Errors
    /// [`crate::Error::Device`] says what is missing: the driver library, a GPU, or the `cuda` feature of this build.
    pub fn cuda(ordinal: usize) -> Result<Self> {
        Ok(Device::Cuda(Cuda::probe(ordinal)?))
    }

    /// The first NVIDIA GPU where there is one and its kernels can be compiled, else the CPU. [`Device::cuda`] and
    /// [`Cuda::can_compile`] say why one cannot be used.
    pub fn best() -> Self {
        Cuda::probe(0).and_then(|gpu| gpu.can_compile().map(|()| Device::Cuda(gpu))).unwrap_or(Device::Cpu)
    }
}

impl PartialEq for Device {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Device::Cpu, Device::Cpu) => true,
            (Device::Cuda(a), Device::Cuda(b)) => Arc::ptr_eq(a, b),
            _ => false,
        }
    }
}

impl fmt::Debug for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Device::Cpu => f.write_str("the CPU"),
            Device::Cuda(c) => f.write_str(&c.name()),
        }
    }
}
