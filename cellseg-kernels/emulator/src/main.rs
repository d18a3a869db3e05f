//! Runs a command on the emulated CUDA device.
//!
//! ```text
//! cargo run -p cellseg-emulator -- cargo test -p cellseg-kernels --features testing --test cuda
//! ```
//!
//! builds stand-ins for `libcuda` and `libnvrtc` from the workspace's `.cu` files, and runs the command with them once for
//! each order of threads. See the README beside this crate.

mod error;
mod libraries;
mod orders;
mod sources;
mod translate;

use clap::Parser;
use std::{
    path::{Path, PathBuf},
    process::ExitCode,
    thread,
};

/// Runs a command on the emulated CUDA device, once for each order of threads.
#[derive(Debug, Parser)]
struct Options {
    /// An order to run: forward, reverse or random:SEED. Several may be given; all four without.
    #[arg(long, value_name = "ORDER")]
    order: Vec<String>,

    /// With AddressSanitizer and UndefinedBehaviorSanitizer in the kernels.
    #[arg(long)]
    sanitize: bool,

    /// How many compilers, and then how many orders, run at a time.
    #[arg(long, default_value_t = thread::available_parallelism().map_or(1, |n| n.get().min(4)))]
    jobs: usize,

    /// Builds the kernels below this directory, and not those of the workspace.
    #[arg(long, value_name = "DIRECTORY")]
    kernels: Option<PathBuf>,

    /// Builds the libraries, prints the directory that they lie in, and runs nothing.
    #[arg(long, conflicts_with = "command")]
    build: bool,

    /// Prints what the headers of all `.cu` files say, as JSON: what `.ci/cuda` compiles.
    #[arg(long, conflicts_with = "command")]
    list: bool,

    /// The command and its arguments.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, required_unless_present_any = ["build", "list"])]
    command: Vec<String>,
}

fn main() -> ExitCode {
    match run(&Options::parse()) {
        Ok(code) => code,
        Err(e) => {
            eprintln!("cellseg-emulator: {e}");
            ExitCode::FAILURE
        }
    }
}

fn run(options: &Options) -> error::Result<ExitCode> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let root = root.canonicalize().map_err(|source| error::Error::File { path: root, source })?;
    if options.list {
        println!("{}", sources::listing(&sources::find(&root)?));
        return Ok(ExitCode::SUCCESS);
    }
    if !cfg!(target_os = "linux") {
        return Err(error::Error::System);
    }
    let directory = target_directory(&root).join("emulator");
    let build = libraries::Build {
        root: &root,
        directory: &directory,
        kernels: options.kernels.as_deref(),
        sanitize: options.sanitize,
        jobs: options.jobs.max(1),
    };
    let libraries = build.libraries()?;
    if options.build {
        println!("{}", libraries.directory.display());
        return Ok(if libraries.whole { ExitCode::SUCCESS } else { ExitCode::FAILURE });
    }
    let runs = orders::Runs {
        libraries: &libraries.directory,
        kept: &directory.join("kept"),
        sanitize: options.sanitize,
        jobs: options.jobs.max(1),
        command: &options.command,
    };
    let code = runs.all(&options.order)?;
    Ok(if libraries.whole { code } else { ExitCode::FAILURE })
}

/// Cargo's target directory: this program lies in one of its profiles' folders.
fn target_directory(root: &Path) -> PathBuf {
    let program = std::env::current_exe().unwrap_or_default();
    program.ancestors().nth(2).map_or_else(|| root.join("target"), Path::to_path_buf)
}
