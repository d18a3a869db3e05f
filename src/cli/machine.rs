//! What this program computes on: `cellseg info` without a file.

use super::Result;
use cellseg::{
    core::{DeviceChoice, cuda::Cuda},
    kernels::simd::Isa,
};
use serde::Serialize;
use std::io::Write;

/// The devices of this machine, and which of them is used.
#[derive(Serialize)]
pub(crate) struct Machine {
    version: &'static str,
    /// What networks run on unless `--device` says otherwise; nothing where `choice` cannot be used.
    device: Option<String>,
    /// Who says so: `auto`, or what `CELLSEG_DEVICE` is.
    choice: String,
    /// Threads of the CPU.
    threads: usize,
    /// The CPU's vector instructions.
    instructions: &'static str,
    gpus: Vec<Gpu>,
    /// Why there is no GPU, or none that can be used, or not the chosen one.
    #[serde(skip_serializing_if = "Option::is_none")]
    missing: Option<String>,
}

#[derive(Serialize)]
struct Gpu {
    /// As `--device` takes it.
    device: String,
    name: String,
    capability: String,
}

impl Machine {
    /// Looks at this machine.
    pub(crate) fn here() -> Result<Self> {
        let choice = DeviceChoice::from_env()?;
        let (mut gpus, mut missing) = (Vec::new(), None);
        match Cuda::count() {
            Ok(count) => {
                for ordinal in 0..count {
                    match Cuda::probe(ordinal).and_then(|gpu| gpu.can_compile().map(|()| gpu)) {
                        Ok(gpu) => {
                            let (major, minor) = gpu.capability();
                            gpus.push(Gpu {
                                device: DeviceChoice::Cuda(ordinal).to_string(),
                                name: gpu.name(),
                                capability: format!("{major}.{minor}"),
                            });
                        }
                        Err(why) => missing = Some(why.to_string()),
                    }
                }
            }
            Err(why) => missing = Some(why.to_string()),
        }
        // A device that cannot be used is what a user asks this command about.
        let device = match choice.open() {
            Ok(device) => Some(format!("{device:?}")),
            Err(why) => {
                missing = Some(why.to_string());
                None
            }
        };
        Ok(Machine {
            version: env!("CARGO_PKG_VERSION"),
            device,
            choice: choice.to_string(),
            threads: rayon::current_num_threads(),
            instructions: Isa::best().name(),
            gpus,
            missing,
        })
    }

    /// For people.
    pub(crate) fn print(&self, out: &mut dyn Write) -> std::io::Result<()> {
        writeln!(out, "cellseg {}", self.version)?;
        match &self.device {
            Some(device) => writeln!(out, "networks run on {device} ({})", self.choice)?,
            None => writeln!(out, "networks cannot run on {}, which CELLSEG_DEVICE asks for", self.choice)?,
        }
        writeln!(out, "CPU: {} threads, {} instructions", self.threads, self.instructions)?;
        for Gpu { device, name, capability } in &self.gpus {
            writeln!(out, "{device}: {name}, compute capability {capability}")?;
        }
        self.missing.iter().try_for_each(|why| writeln!(out, "GPU: {why}"))
    }
}
