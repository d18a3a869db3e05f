//! The emulated device against its promises: it finds planted faults, and its numbers are those of the hardware's manuals.
//!
//! This program starts itself again through `cellseg-emulator`, once for each order of threads, with the kernels in
//! `tests/kernels`; all that it launches goes through `cellseg-core` as on any device.

mod driver;
mod faults;
mod matrices;
mod numbers;

use cellseg_core::{
    CpuBuffer, DType, Element, Result,
    cuda::{Arguments, Cuda, CudaBuffer, Launch, Source},
};
use libtest_mimic::{Failed, Trial};
use std::{
    env,
    process::{Command, ExitCode},
    sync::Arc,
};

/// Tells the inner run from the outer one.
const INNER: &str = "CELLSEG_EMULATED_ORDER";

/// The order in which this process's device runs threads.
fn order() -> String {
    env::var(INNER).unwrap_or_default()
}

fn device() -> Arc<Cuda> {
    Cuda::probe(0).expect("the emulated device is there")
}

/// A launch of one block, or of several.
struct Run {
    source: &'static Source,
    defines: &'static [(&'static str, &'static str)],
    kernel: &'static str,
    blocks: u32,
    threads: u32,
    shared: usize,
}

impl Run {
    fn new(source: &'static Source, kernel: &'static str) -> Self {
        Run { source, defines: &[], kernel, blocks: 1, threads: 64, shared: 0 }
    }

    /// Launches and waits.
    fn go(&self, arguments: Arguments) -> Result<()> {
        let launch = Launch {
            source: self.source,
            defines: self.defines,
            kernel: self.kernel,
            grid: [self.blocks, 1, 1],
            block: self.threads,
            shared: self.shared,
        };
        // SAFETY: the kernels stay inside their buffers, or the emulated device is to find out that they do not.
        unsafe { device().launch(launch, arguments)? };
        device().synchronize()
    }
}

fn upload<T: Element>(numbers: &[T]) -> CudaBuffer {
    CudaBuffer::upload(&device(), &CpuBuffer::from_slice(numbers).expect("small")).expect("there is room")
}

fn room(dtype: DType, count: usize) -> CudaBuffer {
    CudaBuffer::new(&device(), dtype, count).expect("there is room")
}

fn download<T: Element>(buffer: &CudaBuffer) -> Vec<T> {
    buffer.download().expect("no fault").as_slice().expect("of this type").to_vec()
}

fn trial(name: impl Into<String>, test: impl FnOnce() + Send + 'static) -> Trial {
    Trial::test(name, move || -> std::result::Result<(), Failed> {
        test();
        Ok(())
    })
}

fn main() -> ExitCode {
    if env::var_os(INNER).is_none() {
        let compiler = env::var("CXX").unwrap_or_else(|_| "g++".into());
        if !cfg!(target_os = "linux") || Command::new(&compiler).arg("--version").output().is_err() {
            println!("skipped: the emulated device needs Linux and a C++ compiler ({compiler})");
            let skipped = Trial::test("the emulated device", || Ok(())).with_ignored_flag(true);
            return libtest_mimic::run(&libtest_mimic::Arguments::from_args(), vec![skipped]).exit_code();
        }
        let status = Command::new(env!("CARGO_BIN_EXE_cellseg-emulator"))
            .args(["--kernels", concat!(env!("CARGO_MANIFEST_DIR"), "/tests/kernels")])
            .arg(env::current_exe().expect("a program knows its path"))
            .args(env::args().skip(1))
            .status();
        return match status {
            Ok(status) if status.success() => ExitCode::SUCCESS,
            _ => ExitCode::FAILURE,
        };
    }
    let trials = [driver::trials(), faults::trials(), numbers::trials(), matrices::trials()]
        .into_iter()
        .flatten()
        .collect();
    libtest_mimic::run(&libtest_mimic::Arguments::from_args(), trials).exit_code()
}
