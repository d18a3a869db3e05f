//! A whole network on a GPU against the CPU: steps of training and windowed inference, twice to the same bits.
//!
//! Without a GPU each test is listed as ignored, with the reason at the top. `cargo run -p cellseg-emulator -- cargo test
//! -p cellseg-models --test cuda` runs all of them on the emulated device, so everything here is as small as it may be.

mod inference;
mod networks;
mod training;

use cellseg_core::{Device, DeviceChoice};
use libtest_mimic::{Arguments, Trial};
use std::process::ExitCode;

fn trials(device: &Device) -> Vec<Trial> {
    [inference::trials(device), networks::trials(device), training::trials(device)]
        .into_iter()
        .flatten()
        .collect()
}

/// A test of its own that panics where it fails.
fn trial(device: &Device, name: &str, test: impl Fn(&Device) + Send + 'static) -> Trial {
    let device = device.clone();
    Trial::test(name, move || {
        test(&device);
        Ok(())
    })
}

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    match DeviceChoice::Cuda(0).open() {
        Ok(device) => {
            println!("on {device:?}");
            libtest_mimic::run(&arguments, trials(&device)).exit_code()
        }
        Err(why) => {
            println!("skipped, no GPU to test on: {why}");
            // Each of them a failure where ignored tests are asked for.
            let failing = |trial: &Trial| {
                let why = why.to_string();
                Trial::test(trial.name(), move || Err(why.into())).with_ignored_flag(true)
            };
            let skipped = trials(&Device::Cpu).iter().map(failing).collect();
            libtest_mimic::run(&arguments, skipped).exit_code()
        }
    }
}
