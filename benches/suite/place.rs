//! Where the cases run, and with which numbers: on the CPU in `f32`, unless the program's command line says otherwise.

use super::Result;
use cellseg_core::{DType, Device, DeviceChoice, Tensor, cuda::Cuda, memory};
use cellseg_models::Compute;
use std::{
    env,
    sync::{Arc, OnceLock},
};

/// A device, and the type of the numbers of all tensors that are not `f32` by their nature.
pub(crate) struct Place {
    pub(crate) device: Device,
    pub(crate) compute: Compute,
}

/// What `--device cpu|cuda:N` and `--dtype f32|f16|bf16` name.
pub(crate) fn place() -> &'static Place {
    static PLACE: OnceLock<Place> = OnceLock::new();
    PLACE.get_or_init(|| Place::from_arguments().expect("a device and a type of numbers that are there"))
}

impl Place {
    fn from_arguments() -> Result<Self> {
        let after = |name: &str| env::args().skip_while(|a| a != name).nth(1);
        let device = after("--device").map_or(Ok(DeviceChoice::Cpu), |name| name.parse())?.open()?;
        let compute = match after("--dtype").as_deref() {
            None | Some("f32") => Compute::F32,
            Some("f16") => Compute::F16,
            Some("bf16") => Compute::BF16,
            Some(other) => return Err(format!("--dtype {other} is none of f32, f16, bf16").into()),
        };
        Ok(Place { device, compute })
    }

    /// The GPU, where it is one.
    pub(crate) fn gpu(&self) -> Option<&Arc<Cuda>> {
        match &self.device {
            Device::Cuda(gpu) => Some(gpu),
            Device::Cpu => None,
        }
    }

    /// The tensor here, in the type of this place's numbers.
    pub(crate) fn numbers(&self, tensor: &Tensor) -> Result<Tensor> {
        let dtype: DType = self.compute.dtype();
        Ok(tensor.cast(dtype)?.to(&self.device)?)
    }

    /// Gives kept memory back, and counts its peak from now on.
    pub(crate) fn reset_memory(&self) {
        match self.gpu() {
            Some(gpu) => {
                gpu.trim();
                gpu.reset_peak();
            }
            None => {
                memory::trim();
                memory::reset_peak();
            }
        }
    }

    /// The most bytes that tensors took.
    pub(crate) fn peak_memory(&self) -> usize {
        self.gpu().map_or_else(memory::stats, |gpu| gpu.memory()).peak
    }
}
