//! Which device is asked for, by name.

use crate::{Device, Error, Result, cuda::Cuda};
use std::{fmt, str::FromStr};

/// The environment variable that names the device where nothing else does.
const VARIABLE: &str = "CELLSEG_DEVICE";

/// Which device is asked for: what the environment variable `CELLSEG_DEVICE` and the options of programs say.
///
/// ```
/// use cellseg_core::{Device, DeviceChoice};
/// assert_eq!("cuda:1".parse::<DeviceChoice>()?, DeviceChoice::Cuda(1));
/// assert_eq!(DeviceChoice::Cpu.open()?, Device::Cpu);
/// # Ok::<(), cellseg_core::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum DeviceChoice {
    /// `auto`: [`Device::best`].
    #[default]
    Auto,
    /// `cpu`.
    Cpu,
    /// `cuda`, which is `cuda:0`, or `cuda:N`: the NVIDIA GPU with this ordinal.
    Cuda(usize),
}

impl DeviceChoice {
    /// What `CELLSEG_DEVICE` says; [`DeviceChoice::Auto`] where it is not set or empty.
    ///
    /// # Errors
    /// [`Error::Device`] where it names no device.
    pub fn from_env() -> Result<Self> {
        match std::env::var_os(VARIABLE).filter(|name| !name.is_empty()) {
            None => Ok(DeviceChoice::Auto),
            Some(name) => name
                .to_string_lossy()
                .parse()
                .map_err(|e| Error::Device(format!("the environment variable {VARIABLE}: {e}"))),
        }
    }

    /// The device.
    ///
    /// # Errors
    /// [`Error::Device`] says what a GPU that is asked for lacks. [`DeviceChoice::Auto`] finds a device always.
    pub fn open(self) -> Result<Device> {
        match self {
            DeviceChoice::Auto => Ok(Device::best()),
            DeviceChoice::Cpu => Ok(Device::Cpu),
            DeviceChoice::Cuda(ordinal) => {
                let gpu = Cuda::probe(ordinal)?;
                // Told now rather than by the first kernel, after all else was read and prepared.
                gpu.can_compile()?;
                Ok(Device::Cuda(gpu))
            }
        }
    }
}

impl FromStr for DeviceChoice {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        let number = name.strip_prefix("cuda:").map(|n| n.parse().ok());
        match (name, number) {
            ("auto", _) => Ok(DeviceChoice::Auto),
            ("cpu", _) => Ok(DeviceChoice::Cpu),
            ("cuda", _) => Ok(DeviceChoice::Cuda(0)),
            (_, Some(Some(ordinal))) => Ok(DeviceChoice::Cuda(ordinal)),
            _ => Err(Error::Device(format!(
                "`{name}` names no device; expected auto, cpu, cuda, or cuda:N with the number of a GPU, as in cuda:0"
            ))),
        }
    }
}

impl fmt::Display for DeviceChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DeviceChoice::Auto => f.write_str("auto"),
            DeviceChoice::Cpu => f.write_str("cpu"),
            DeviceChoice::Cuda(ordinal) => write!(f, "cuda:{ordinal}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_that_are_printed_and_cuda_is_the_first_gpu() {
        for choice in [DeviceChoice::Auto, DeviceChoice::Cpu, DeviceChoice::Cuda(0), DeviceChoice::Cuda(11)] {
            assert_eq!(choice.to_string().parse::<DeviceChoice>().unwrap(), choice);
        }
        assert_eq!("cuda".parse::<DeviceChoice>().unwrap(), DeviceChoice::Cuda(0));
    }

    #[test]
    fn other_names_are_errors_that_list_the_right_ones() {
        for wrong in ["", "gpu", "cuda:", "cuda:-1", "cuda:x", "cuda0", "cpu:0", "cuda:99999999999999999999"]
        {
            let told = wrong.parse::<DeviceChoice>().unwrap_err().to_string();
            assert!(told.contains(&format!("`{wrong}`")) && told.contains("cuda:N"), "{told}");
        }
    }
}
