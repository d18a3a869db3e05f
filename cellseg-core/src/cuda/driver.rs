//! The driver library, asked for before it is used: `cudarc` panics where it, or one of its functions, is missing.

use super::symbols::{has, missing};
use crate::{Error, Result};
use cudarc::driver::{
    DriverError,
    sys::{self, CUresult},
};

/// Every function of the driver that this crate calls, itself or through `cudarc`, but for those of few drivers, which are
/// looked up where they are called.
const FUNCTIONS: [&[u8]; 37] = [
    b"cuInit\0",
    b"cuDriverGetVersion\0",
    b"cuGetErrorName\0",
    b"cuGetErrorString\0",
    b"cuDeviceGet\0",
    b"cuDeviceGetCount\0",
    b"cuDeviceGetName\0",
    b"cuDeviceGetAttribute\0",
    b"cuDeviceGetDefaultMemPool\0",
    b"cuMemPoolSetAttribute\0",
    b"cuMemPoolTrimTo\0",
    b"cuDevicePrimaryCtxRetain\0",
    b"cuDevicePrimaryCtxRelease_v2\0",
    b"cuCtxGetCurrent\0",
    b"cuCtxSetCurrent\0",
    b"cuStreamCreate\0",
    b"cuStreamDestroy_v2\0",
    b"cuStreamSynchronize\0",
    b"cuStreamWaitEvent\0",
    b"cuEventCreate\0",
    b"cuEventRecord\0",
    b"cuEventSynchronize\0",
    b"cuEventDestroy_v2\0",
    b"cuMemAlloc_v2\0",
    b"cuMemFree_v2\0",
    b"cuMemAllocAsync\0",
    b"cuMemFreeAsync\0",
    b"cuMemHostAlloc\0",
    b"cuMemFreeHost\0",
    b"cuMemsetD8Async\0",
    b"cuMemcpyHtoDAsync_v2\0",
    b"cuMemcpyDtoHAsync_v2\0",
    b"cuMemcpyDtoDAsync_v2\0",
    b"cuModuleLoadData\0",
    b"cuModuleGetFunction\0",
    b"cuFuncSetAttribute\0",
    b"cuLaunchKernel\0",
];

/// What a failed call means, in words.
pub(super) fn failed(what: impl AsRef<str>, why: DriverError) -> Error {
    let what = what.as_ref();
    Error::Device(match why.0 {
        CUresult::CUDA_ERROR_NO_DEVICE => format!(
            "{what}: the CUDA driver finds no GPU; check `nvidia-smi` and CUDA_VISIBLE_DEVICES, or use the CPU"
        ),
        CUresult::CUDA_ERROR_INVALID_DEVICE => {
            format!("{what}: there is no GPU of this number; `nvidia-smi -L` lists those there are, from 0")
        }
        CUresult::CUDA_ERROR_SYSTEM_DRIVER_MISMATCH | CUresult::CUDA_ERROR_COMPAT_NOT_SUPPORTED_ON_DEVICE => {
            format!(
                "{what}: the driver library and the kernel module are of different versions; restart the machine after a \
             driver update, or use the CPU"
            )
        }
        CUresult::CUDA_ERROR_NO_BINARY_FOR_GPU
        | CUresult::CUDA_ERROR_UNSUPPORTED_PTX_VERSION
        | CUresult::CUDA_ERROR_INVALID_IMAGE => format!(
            "{what}: the driver cannot run what libnvrtc made ({why}); install a newer NVIDIA driver or an older libnvrtc"
        ),
        _ => format!("{what}: {why}"),
    })
}

/// Whether the machine has a driver library, which may still find no GPU, or be too old.
pub(super) fn is_there() -> bool {
    // SAFETY: only tries to open the library.
    unsafe { sys::is_culib_present() }
}

/// Loads the driver library and initialises it.
pub(super) fn start() -> Result<()> {
    if !is_there() {
        return Err(Error::Device(
            "no CUDA driver library (libcuda) was found; install an NVIDIA driver, or use the CPU".into(),
        ));
    }
    // SAFETY: the library can be opened, as was just seen.
    if let Some(name) = missing(unsafe { sys::culib() }, &FUNCTIONS) {
        return Err(Error::Device(format!(
            "the CUDA driver library has no {name}: it is too old, or a stand-in; install an NVIDIA driver of version 525 \
             (CUDA 12.0) or newer, or use the CPU"
        )));
    }
    cudarc::driver::result::init().map_err(|e| failed("starting CUDA", e))?;
    let (major, minor) = version()?;
    if major < OLDEST {
        return Err(Error::Device(format!(
            "the NVIDIA driver is of CUDA {major}.{minor}; install a driver of version 525 (CUDA {OLDEST}.0) or newer, or use \
             the CPU"
        )));
    }
    Ok(())
}

/// The CUDA version of the oldest driver that will do.
const OLDEST: i32 = 12;

/// The CUDA version of the driver.
pub(super) fn version() -> Result<(i32, i32)> {
    // SAFETY: the library can be opened where it is asked for.
    if !is_there() || !has(unsafe { sys::culib() }, b"cuDriverGetVersion\0") {
        return Err(Error::Device("no CUDA driver library (libcuda) was found".into()));
    }
    let mut version = 0;
    // SAFETY: the library has this function, which writes one number.
    unsafe { sys::cuDriverGetVersion(&raw mut version) }
        .result()
        .map_err(|e| failed("the version of the driver", e))?;
    Ok((version / 1000, version % 1000 / 10))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_message_of_a_failure_says_what_to_do() {
        for (code, word) in [
            (CUresult::CUDA_ERROR_NO_DEVICE, "nvidia-smi"),
            (CUresult::CUDA_ERROR_INVALID_DEVICE, "from 0"),
            (CUresult::CUDA_ERROR_SYSTEM_DRIVER_MISMATCH, "restart"),
            (CUresult::CUDA_ERROR_UNSUPPORTED_PTX_VERSION, "newer NVIDIA driver"),
        ] {
            // These texts ask the driver nothing, so they can be tried without one.
            if matches!(code, CUresult::CUDA_ERROR_UNSUPPORTED_PTX_VERSION) && start().is_err() {
                continue;
            }
            let told = failed("CUDA device 0", DriverError(code)).to_string();
            assert!(told.starts_with("CUDA device 0: ") && told.contains(word), "{told}");
        }
    }
}
