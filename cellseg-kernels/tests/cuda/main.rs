//! Every operation on a GPU against the CPU: outputs and gradients of the cases of its table, in every type that kernels
//! take, twice to the same bits.
//!
//! Without a GPU each test is listed as ignored, with the reason at the top. `cargo run -p cellseg-emulator -- cargo test
//! -p cellseg-kernels --test cuda` runs all of them on the emulated device.

mod concat;
mod conv3d;
mod conv_transpose3d;
mod dropout;
mod loss;
mod norm;
mod optim;
mod parity;
mod pointwise;
mod pool;
mod reduce;
mod resample;
mod soft_ncuts;
mod softmax;
mod window_attention;

use cellseg_core::Device;
use libtest_mimic::{Arguments, Trial};
use std::process::ExitCode;

/// The tests of every operation.
fn trials(device: &Device) -> Vec<Trial> {
    let all = [
        concat::trials(device),
        conv3d::trials(device),
        conv_transpose3d::trials(device),
        dropout::trials(device),
        loss::trials(device),
        norm::trials(device),
        optim::trials(device),
        pointwise::trials(device),
        pool::trials(device),
        reduce::trials(device),
        resample::trials(device),
        soft_ncuts::trials(device),
        softmax::trials(device),
        window_attention::trials(device),
    ];
    all.into_iter().flatten().collect()
}

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    match Device::cuda(0) {
        Ok(device) => {
            println!("on {device:?}");
            libtest_mimic::run(&arguments, trials(&device)).exit_code()
        }
        Err(why) => {
            println!("skipped, no GPU to test on: {why}");
            // A failure where ignored tests are asked for.
            let skipped =
                Trial::test("every operation on a GPU", move || Err(why.into())).with_ignored_flag(true);
            libtest_mimic::run(&arguments, vec![skipped]).exit_code()
        }
    }
}
