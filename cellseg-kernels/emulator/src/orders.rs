//! The command, once for each order in which the device runs its threads.

use crate::error::{Error, Result};
use std::{
    env, fs,
    path::Path,
    process::{Command, ExitCode, Output, Stdio},
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

/// A race that one order hides shows in another.
const ALL: [&str; 4] = ["forward", "reverse", "random:1", "random:2"];

/// What is run, and with what.
pub(crate) struct Runs<'a> {
    /// Where the stand-in libraries lie.
    pub(crate) libraries: &'a Path,
    /// Where the library may keep its compiled kernels: away from those of a real device.
    pub(crate) kept: &'a Path,
    pub(crate) sanitize: bool,
    pub(crate) jobs: usize,
    pub(crate) command: &'a [String],
}

impl Runs<'_> {
    /// Runs the command in these orders, or in all; a success where each of them was one.
    pub(crate) fn all(&self, orders: &[String]) -> Result<ExitCode> {
        let orders: Vec<&str> =
            if orders.is_empty() { ALL.to_vec() } else { orders.iter().map(String::as_str).collect() };
        // What an earlier build of the stand-ins compiled is not theirs. The first order fills the directory, others read it.
        let _ = fs::remove_dir_all(self.kept);
        // The first one alone and in the open: it builds, where the command is cargo's, and shows at once what fails.
        let (first, others) = (orders[0], &orders[1..]);
        self.announce(first);
        let mut command = self.command(first);
        let status = command.status().map_err(|e| Error::Command(self.command[0].clone(), e))?;
        if !status.success() {
            eprintln!("== emulated device, order {first}: failed ({status})");
            return Ok(ExitCode::FAILURE);
        }
        let outputs = self.several(others)?;
        let mut failed = false;
        for (order, output) in others.iter().zip(outputs) {
            self.announce(order);
            print!("{}", String::from_utf8_lossy(&output.stdout));
            eprint!("{}", String::from_utf8_lossy(&output.stderr));
            if !output.status.success() {
                eprintln!("== emulated device, order {order}: failed ({})", output.status);
                failed = true;
            }
        }
        Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
    }

    fn announce(&self, order: &str) {
        let sanitized = if self.sanitize { ", sanitized" } else { "" };
        eprintln!("\n== emulated device, order {order}{sanitized}: {}", self.command.join(" "));
    }

    /// Some at a time, each with its output kept for later: the device itself runs on one core.
    fn several(&self, orders: &[&str]) -> Result<Vec<Output>> {
        let next = AtomicUsize::new(0);
        let outputs: Mutex<Vec<Option<Result<Output>>>> =
            Mutex::new(std::iter::repeat_with(|| None).take(orders.len()).collect());
        thread::scope(|scope| {
            for _ in 0..self.jobs.min(orders.len()) {
                scope.spawn(|| {
                    loop {
                        let at = next.fetch_add(1, Ordering::Relaxed);
                        let Some(order) = orders.get(at) else { break };
                        let output = self.command(order).stdin(Stdio::null()).output();
                        let output = output.map_err(|e| Error::Command(self.command[0].clone(), e));
                        outputs.lock().unwrap_or_else(|e| e.into_inner())[at] = Some(output);
                    }
                });
            }
        });
        outputs.into_inner().unwrap_or_else(|e| e.into_inner()).into_iter().flatten().collect()
    }

    fn command(&self, order: &str) -> Command {
        let mut command = Command::new(&self.command[0]);
        command
            .args(&self.command[1..])
            .env("CELLSEG_EMULATED_ORDER", order)
            .env("CELLSEG_CACHE_DIR", self.kept)
            .env_remove("CELLSEG_NVRTC_DIR")
            .env("LD_LIBRARY_PATH", with_others("LD_LIBRARY_PATH", self.libraries));
        if self.sanitize {
            // The runtime must be there before all else, which only a preload does for a program that was not built with it.
            let preload = format!("LD_PRELOAD={}", runtime_of_sanitizer());
            let settings = "detect_leaks=0:detect_stack_use_after_return=0";
            if Path::new(&self.command[0]).file_stem().is_some_and(|name| name == "cargo") {
                // For what cargo runs, and not for cargo and the compiler.
                command.env(runner(), format!("env {preload} ASAN_OPTIONS={settings}"));
            } else if let Some((name, value)) = preload.split_once('=') {
                command.env(name, value).env("ASAN_OPTIONS", settings);
            }
        }
        command
    }
}

/// A list of directories with one more before it.
fn with_others(variable: &str, directory: &Path) -> std::ffi::OsString {
    let others = env::var_os(variable).filter(|list| !list.is_empty());
    let all = std::iter::once(directory.to_path_buf()).chain(others.iter().flat_map(env::split_paths));
    env::join_paths(all).unwrap_or_else(|_| directory.into())
}

/// The variable that names what cargo starts programs of this machine with.
fn runner() -> String {
    let environment = if cfg!(target_env = "musl") { "MUSL" } else { "GNU" };
    format!("CARGO_TARGET_{}_UNKNOWN_LINUX_{environment}_RUNNER", env::consts::ARCH.to_uppercase())
}

/// AddressSanitizer's library, as the compiler names it.
fn runtime_of_sanitizer() -> String {
    let compiler = env::var("CXX").unwrap_or_else(|_| "g++".into());
    let output = Command::new(compiler).arg("-print-file-name=libasan.so").output();
    output.map(|o| String::from_utf8_lossy(&o.stdout).trim().to_string()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exit(orders: &[&str], script: &str) -> ExitCode {
        let command = ["sh", "-c", script].map(String::from);
        let (libraries, kept) = (Path::new("/stand-ins"), &env::temp_dir().join("cellseg-no-kernels"));
        let runs = Runs { libraries, kept, sanitize: false, jobs: 2, command: &command };
        runs.all(&orders.iter().map(|o| (*o).to_string()).collect::<Vec<_>>()).unwrap()
    }

    #[test]
    fn a_failure_in_any_order_is_a_failure() {
        let fails_in = |order: &str| format!("test $CELLSEG_EMULATED_ORDER != {order}");
        assert_eq!(exit(&[], &fails_in("none")), ExitCode::SUCCESS);
        for order in ALL {
            assert_eq!(exit(&[], &fails_in(order)), ExitCode::FAILURE, "{order}");
        }
        assert_eq!(exit(&["reverse"], &fails_in("forward")), ExitCode::SUCCESS);
    }

    #[test]
    fn the_stand_ins_are_found_before_other_libraries() {
        assert_eq!(
            exit(&[], "case $LD_LIBRARY_PATH in /stand-ins*) exit 0;; *) exit 1;; esac"),
            ExitCode::SUCCESS
        );
    }
}
