//! What a user is told where CUDA is missing, in part or in whole: the driver's library is replaced by stand-ins, and a
//! process of its own asks for a GPU.
#![cfg(all(feature = "cuda", target_os = "linux"))]

use cellseg_core::{DType, Device, Tensor};
use std::{collections::BTreeSet, fmt::Write, fs, path::Path, process::Command};

/// Run by the tests below in a process of its own: prints what asking for a GPU, and using it, ends in.
#[test]
#[ignore = "run by the other tests of this file, with a driver library of their making"]
fn ask() {
    let used = || -> cellseg_core::Result<f64> {
        let device = Device::cuda(0)?;
        Tensor::scalar(1.5f32)?.to(&device)?.cast(DType::BF16)?.item()
    };
    match used() {
        Ok(x) => println!("told: a GPU, and {x}"),
        Err(e) => println!("told: {e}"),
    }
}

/// What `ask` prints where the loader looks for libraries in `directory` first.
fn told(directory: &Path, nvrtc: Option<&Path>) -> String {
    let mut command = Command::new(std::env::current_exe().expect("this test's own path"));
    command.args(["ask", "--exact", "--ignored", "--nocapture"]).env("LD_LIBRARY_PATH", directory);
    command.env_remove("CELLSEG_NVRTC_DIR").envs(nvrtc.map(|d| ("CELLSEG_NVRTC_DIR", d)));
    let output = command.output().expect("this test can be run again");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "the process failed: {text}{errors}");
    text.lines()
        .find_map(|l| l.split_once("told: "))
        .unwrap_or_else(|| panic!("it says nothing: {text}{errors}"))
        .1
        .into()
}

/// A driver library of these C functions.
fn driver(functions: &str) -> tempfile::TempDir {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let source = directory.path().join("driver.c");
    fs::write(&source, functions).expect("a temporary file");
    let library = directory.path().join("libcuda.so.1");
    let built = Command::new("cc")
        .args(["-shared", "-fPIC", "-o"])
        .arg(&library)
        .arg(&source)
        .status()
        .expect("cc runs");
    assert!(built.success(), "cc builds the stand-in");
    directory
}

/// Every function that the library asks for, each returning `answer`.
fn all_functions(answer: u32) -> String {
    let names: BTreeSet<&str> = include_str!("../src/cuda/driver.rs")
        .split("b\"")
        .skip(1)
        .filter_map(|s| Some(s.split_once("\\0")?.0))
        .collect();
    let mut functions = String::new();
    for name in names {
        writeln!(functions, "int {name}(void) {{ return {answer}; }}").expect("text grows");
    }
    functions
}

#[test]
fn no_driver_library() {
    // One that finds no GPU, or is too old, would be found as well.
    for name in ["libcuda.so.1", "libcuda.so"] {
        // SAFETY: opening the driver's library starts nothing.
        if unsafe { libloading::Library::new(name) }.is_ok() {
            println!("skipped: this machine has {name}");
            return;
        }
    }
    let empty = tempfile::tempdir().expect("a temporary directory");
    let told = told(empty.path(), None);
    assert!(told.contains("no CUDA driver library") && told.contains("install an NVIDIA driver"), "{told}");
}

#[test]
fn an_empty_driver_library() {
    let told = told(driver("").path(), None);
    assert!(told.contains("has no cuInit") && told.contains("install an NVIDIA driver"), "{told}");
}

#[test]
fn a_driver_library_that_is_too_old() {
    let old = all_functions(0).replace("cuMemAllocAsync", "cuMemAllocSomehow");
    let told = told(driver(&old).path(), None);
    assert!(told.contains("cuMemAllocAsync") && told.contains("too old"), "{told}");
}

#[test]
fn a_driver_of_an_old_cuda() {
    let old = all_functions(0)
        .replace("cuDriverGetVersion(void) {", "cuDriverGetVersion(int *version) { *version = 11080;");
    let told = told(driver(&old).path(), None);
    assert!(told.contains("is of CUDA 11.8") && told.contains("525"), "{told}");
}

#[test]
fn a_driver_that_finds_no_gpu() {
    const CUDA_ERROR_NO_DEVICE: u32 = 100;
    let told = told(driver(&all_functions(CUDA_ERROR_NO_DEVICE)).path(), None);
    assert!(told.contains("finds no GPU") && told.contains("nvidia-smi"), "{told}");
}

#[test]
fn a_driver_of_another_version_than_the_kernel_module() {
    const CUDA_ERROR_SYSTEM_DRIVER_MISMATCH: u32 = 803;
    let told = told(driver(&all_functions(CUDA_ERROR_SYSTEM_DRIVER_MISMATCH)).path(), None);
    assert!(told.contains("different versions") && told.contains("restart"), "{told}");
}
