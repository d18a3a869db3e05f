//! From the text of a kernel to what the driver loads.
//!
//! The target is the very device at hand: a finished cubin needs no second compiler in the driver, and NVRTC checks
//! inline assembly only for a real target. Where the device is newer than NVRTC, PTX of the newest target that it knows
//! is left to the driver.

use super::{Cuda, Launch, PRELUDE, kept, nvrtc};
use crate::{Error, Result};
use cudarc::nvrtc::{
    result::{NvrtcError, compile_program, create_program, destroy_program, get_program_log, get_ptx},
    sys::{self, nvrtcProgram},
};
use std::ffi::{CStr, CString};

/// The image of a launch's file for a device: from the disk where it was compiled before, else from NVRTC.
pub(super) fn image(device: &Cuda, launch: &Launch<'_>) -> Result<Vec<u8>> {
    let compiler = nvrtc::Compiler::get()?;
    let target = compiler.target(device.capability());
    let mut options = vec![format!("--gpu-architecture={target}"), "--std=c++17".into()];
    options.extend(launch.defines.iter().map(|(name, value)| format!("-D{name}={value}")));
    let text = text(launch);
    // The device's name only tells the emulated device's images from a real one's.
    let (major, minor) = compiler.version;
    let key = format!("{}\nNVRTC {major}.{minor}\n{}\n{text}", device.name(), options.join(" "));
    if let Some(image) = kept::read(&key) {
        return Ok(image);
    }
    let image = compile(launch.source.name, &text, &options, !target.starts_with("compute"))?;
    kept::write(&key, &image);
    Ok(image)
}

/// The prelude and the kernel's own text, with lines counted as in their files.
fn text(launch: &Launch<'_>) -> String {
    let mut text = String::new();
    let own = (launch.source.name, launch.source.text);
    for (name, part) in PRELUDE.iter().copied().chain(std::iter::once(own)) {
        text.push_str("#line 1 \"");
        text.push_str(name);
        text.push_str("\"\n");
        text.push_str(part);
        text.push('\n');
    }
    text
}

/// A program of NVRTC, freed on drop.
struct Program(nvrtcProgram);

impl Drop for Program {
    fn drop(&mut self) {
        // SAFETY: made by `create_program` and freed once.
        let _ = unsafe { destroy_program(self.0) };
    }
}

fn compile(name: &str, text: &str, options: &[String], to_cubin: bool) -> Result<Vec<u8>> {
    let failed = |log: &str, e: NvrtcError| {
        Error::Device(format!("libnvrtc could not compile {name} with {}: {e}\n{log}", options.join(" ")))
    };
    let (c_text, c_name) = (CString::new(text).unwrap_or_default(), CString::new(name).unwrap_or_default());
    let program = Program(create_program(&c_text, Some(&c_name)).map_err(|e| failed("", e))?);
    // SAFETY: the program was just made, and is compiled once.
    unsafe { compile_program(program.0, options) }.map_err(|e| {
        // SAFETY: a program that failed to compile still has its log, a string that ends with a zero.
        let log = unsafe { get_program_log(program.0) }.unwrap_or_default();
        let log: Vec<u8> = log.into_iter().map(|c| c as u8).collect();
        failed(&CStr::from_bytes_until_nul(&log).unwrap_or_default().to_string_lossy(), e)
    })?;
    if !to_cubin {
        // SAFETY: the program is compiled; the text comes with its closing zero.
        let ptx = unsafe { get_ptx(program.0) }.map_err(|e| failed("", e))?;
        return Ok(ptx.into_iter().map(|c| c as u8).collect());
    }
    let mut bytes = 0;
    // SAFETY: the program is compiled for a real target, so it has a cubin, and the buffer has the size asked for.
    unsafe {
        sys::nvrtcGetCUBINSize(program.0, &raw mut bytes).result().map_err(|e| failed("", e))?;
        let mut image = vec![0u8; bytes];
        sys::nvrtcGetCUBIN(program.0, image.as_mut_ptr().cast()).result().map_err(|e| failed("", e))?;
        Ok(image)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs where libnvrtc is found, which needs no GPU.
    #[test]
    fn a_kernel_becomes_a_cubin_and_a_mistake_its_compilers_words() {
        if let Err(why) = nvrtc::Compiler::get() {
            println!("skipped: {why}");
            return;
        }
        let source = crate::cuda_source!("cuda/cast.cu");
        let defines = [("FROM", "f32"), ("TO", "bf16")];
        let launch =
            Launch { source: &source, defines: &defines, kernel: "cast", grid: [1; 3], block: 1, shared: 0 };
        let options: Vec<String> =
            ["--gpu-architecture=sm_90a", "--std=c++17", "-DFROM=f32", "-DTO=bf16"].map(Into::into).into();
        let image = compile(source.name, &text(&launch), &options, true).expect("it compiles");
        if image.starts_with(b"a kernel of the emulated device") {
            return;
        }
        assert!(image.starts_with(b"\x7fELF"), "a cubin");
        let mistaken = text(&launch).replace("KERNEL BOUNDS", "KERNEL BONDS");
        let told = compile(source.name, &mistaken, &options, true).expect_err("it does not").to_string();
        assert!(told.contains("cuda/cast.cu(") && told.contains("BONDS"), "{told}");
    }
}
