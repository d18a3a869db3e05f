//! The program `cellseg`: from raw volumes to counted cells at the command line.
//!
//! Every command is a thin layer over public calls of the library of the same name.

mod cli;

fn main() -> std::process::ExitCode {
    cli::main()
}
