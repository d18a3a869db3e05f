//! The stand-ins of a build without the `cuda` feature: types without values.

use crate::{CpuBuffer, DType, Error, Result};
use std::{convert::Infallible, sync::Arc};

/// One NVIDIA GPU: none, in this build.
pub struct Cuda(Infallible);

impl Cuda {
    /// Always the error that this build knows no GPU.
    ///
    /// # Errors
    /// Always.
    pub fn probe(_: usize) -> Result<Arc<Self>> {
        Err(Error::Device("this build has no CUDA support; build it with the `cuda` feature".into()))
    }

    /// The device's name.
    pub fn name(&self) -> String {
        match self.0 {}
    }
}

/// Numbers of one type in the memory of a GPU: none, in this build.
pub struct CudaBuffer(Infallible);

impl CudaBuffer {
    /// Room for `count` numbers.
    ///
    /// # Errors
    /// Never returns: there is no device to call it with.
    pub fn new(device: &Arc<Cuda>, _: DType, _: usize) -> Result<Self> {
        match device.0 {}
    }

    /// A copy of host numbers on the device.
    ///
    /// # Errors
    /// Never returns: there is no device to call it with.
    pub fn upload(device: &Arc<Cuda>, _: &CpuBuffer) -> Result<Self> {
        match device.0 {}
    }

    /// A copy of the numbers on the host.
    ///
    /// # Errors
    /// Never returns: there is no buffer to call it with.
    pub fn download(&self) -> Result<CpuBuffer> {
        match self.0 {}
    }

    /// The type of the numbers.
    pub fn dtype(&self) -> DType {
        match self.0 {}
    }

    /// The device that holds them.
    pub fn device(&self) -> &Arc<Cuda> {
        match self.0 {}
    }

    pub(crate) fn accumulate(&mut self, _: &CudaBuffer) -> Result<()> {
        match self.0 {}
    }
}
