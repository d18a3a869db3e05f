//! The commands, their common options, and what the exit code means.

mod computing;
mod evaluate;
mod files;
mod info;
mod interrupt;
mod labels;
mod losses;
mod machine;
mod output;
mod post;
mod predict;
mod progress;
mod segment;
mod settings;
mod stats;
mod synth;
mod train;

use clap::{Parser, Subcommand};
use std::{io::IsTerminal, process::ExitCode};
use tracing_subscriber::EnvFilter;

/// Segment cells in 3D fluorescence volumes, with no labels at all.
#[derive(Parser)]
#[command(version, propagate_version = true, after_help = EXIT_CODES)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

const EXIT_CODES: &str = "\
Exit codes: 0 done; 1 failed, with the reason on standard error; 2 wrong usage; 3 some files of a folder failed;
130 interrupted, with a checkpoint kept where training was.";

#[derive(Subcommand)]
enum Command {
    /// Train a network: WNet3D on raw volumes without labels, or one of five networks with labels
    Train(train::Args),
    /// Raw volumes to instance labels, statistics and previews
    Segment(segment::Args),
    /// The raw output of a network for a volume
    Predict(predict::Args),
    /// Score predicted labels against true ones
    Evaluate(evaluate::Args),
    /// One row of measurements for each cell of a label volume
    Stats(stats::Args),
    /// Tools for volumes, masks and labels
    Post(post::Args),
    /// Make a synthetic volume with its true labels
    Synth(synth::Args),
    /// What a volume or weight file holds; without a file, what this program computes on
    Info(info::Args),
}

/// Options that every command takes.
#[derive(clap::Args, Clone)]
struct Common {
    /// Print one JSON object on standard output when done, and no progress bars
    #[arg(long, global = true)]
    json: bool,
    /// Use this many threads; all cores by default. Results do not depend on it
    #[arg(long, value_name = "N", global = true)]
    threads: Option<std::num::NonZeroUsize>,
    /// Replace outputs that exist
    #[arg(long, global = true)]
    force: bool,
}

/// How a command ended, where it did not fail.
enum Outcome {
    /// All was done.
    Done,
    /// Some files of a folder failed; each was reported.
    Partly,
    /// The user asked to stop.
    Interrupted,
}

type Result<T> = std::result::Result<T, cellseg::Error>;

/// Runs the command that the arguments name.
pub(crate) fn main() -> ExitCode {
    let cli = Cli::parse();
    let filter = EnvFilter::try_from_env("CELLSEG_LOG").unwrap_or_else(|_| EnvFilter::new("warn"));
    let colours = std::io::stderr().is_terminal();
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(colours)
        .with_target(false)
        .without_time()
        .init();
    interrupt::listen();
    match cli.command.run() {
        Ok(Outcome::Done) => ExitCode::SUCCESS,
        Ok(Outcome::Partly) => ExitCode::from(3),
        Ok(Outcome::Interrupted) => ExitCode::from(interrupt::EXIT_CODE),
        Err(e) => {
            // Every message holds what it knows of its cause.
            eprintln!("error: {e}");
            ExitCode::FAILURE
        }
    }
}

impl Command {
    fn run(self) -> Result<Outcome> {
        let common = match &self {
            Command::Train(a) => &a.common,
            Command::Segment(a) => &a.common,
            Command::Predict(a) => &a.common,
            Command::Evaluate(a) => &a.common,
            Command::Stats(a) => &a.common,
            Command::Post(a) => a.common(),
            Command::Synth(a) => &a.common,
            Command::Info(a) => &a.common,
        };
        use_threads(common)?;
        match self {
            Command::Train(a) => train::run(a),
            Command::Segment(a) => segment::run(a),
            Command::Predict(a) => predict::run(a),
            Command::Evaluate(a) => evaluate::run(a),
            Command::Stats(a) => interrupt::or_stopped(stats::run(a)),
            Command::Post(a) => interrupt::or_stopped(post::run(a)),
            Command::Synth(a) => synth::run(a),
            Command::Info(a) => info::run(a),
        }
    }
}

fn use_threads(common: &Common) -> Result<()> {
    let Some(n) = common.threads else { return Ok(()) };
    rayon::ThreadPoolBuilder::new()
        .num_threads(n.get())
        .build_global()
        .map_err(|e| cellseg::Error::usage(format!("--threads {n}: {e}")))
}
