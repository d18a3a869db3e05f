//! Where networks run, and in numbers of which type.

use super::Result;
use cellseg::{
    core::{Device, DeviceChoice, cuda::Cuda},
    models::Compute,
};

/// Options of the commands that run networks.
#[derive(clap::Args)]
pub(crate) struct Computing {
    /// Where the network runs: auto is the first NVIDIA GPU, or the CPU where there is none [default: what CELLSEG_DEVICE
    /// says, else auto]
    #[arg(long, value_name = "auto|cpu|cuda|cuda:N")]
    device: Option<DeviceChoice>,
    /// Type of the numbers between layers: halves take half of the memory, and are meant to be faster on a GPU. Weights
    /// are f32 in any case
    #[arg(long, value_enum, alias = "precision")]
    compute: Option<Type>,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum Type {
    F32,
    Bf16,
    F16,
}

impl Computing {
    /// The device that was asked for.
    pub(crate) fn device(&self) -> Result<Device> {
        let choice = self.device.map_or_else(DeviceChoice::from_env, Ok)?;
        let device = choice.open()?;
        if let (DeviceChoice::Auto, Device::Cpu) = (choice, &device)
            && Cuda::driver_is_there()
            && let Err(why) = Cuda::probe(0).and_then(|gpu| gpu.can_compile())
        {
            tracing::warn!("a CUDA driver is there, but the CPU is used: {why}");
        }
        Ok(device)
    }

    /// The type that was asked for, if one was.
    pub(crate) fn compute(&self) -> Option<Compute> {
        self.compute.map(|name| match name {
            Type::F32 => Compute::F32,
            Type::Bf16 => Compute::BF16,
            Type::F16 => Compute::F16,
        })
    }
}
