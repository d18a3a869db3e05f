//! Tutorial 7: where does a network compute, and in numbers of which type?
//!
//! A network computes where its weights lie. Weights are single precision; the activations between layers may be halves,
//! which are meant to be faster on a GPU. This runs on any machine: without a GPU the device is the CPU.
//!
//!     cargo run --release --example 07_devices_and_half_precision

use cellseg::{
    Result, Segmenter,
    core::{Device, DeviceChoice},
    io::{
        Volume,
        synth::{SynthOptions, generate},
    },
    models::{Compute, WNet3dConfig, train::TrainConfig},
    train_on,
};
use std::time::Instant;

fn main() -> Result<()> {
    // What the environment variable CELLSEG_DEVICE names, or the first GPU, or the CPU.
    let device = DeviceChoice::from_env()?.open()?;
    println!("computing on {device:?}");
    if let Err(why) = Device::cuda(0) {
        println!("a GPU would need more: {why}");
    }

    let synthetic = generate(&SynthOptions { shape: [24, 48, 48], nuclei: 12, ..SynthOptions::default() })?;
    let volumes = [Volume::new(synthetic.image, "synthetic")];
    let config = |compute| TrainConfig {
        network: WNet3dConfig { width: 8, ..WNet3dConfig::small() },
        steps: 20,
        patch: [16; 3],
        compute,
        ..TrainConfig::default()
    };

    // The same training three times. Each has its own rounding, so each ends in other weights: as another seed would.
    for compute in [Compute::F32, Compute::BF16, Compute::F16] {
        let start = Instant::now();
        let trained = train_on(&device, &volumes, &[], &config(compute), &mut ())?;
        println!("trained in {compute:?} in {:.1} s", start.elapsed().as_secs_f64());

        // One network, used in three ways: halves differ in the third digit of a probability, or the second.
        let mut segmenter = Segmenter::new(trained.network, config(compute).inference());
        let single = segmenter.probability(&volumes[0], &mut ())?;
        for half in [Compute::BF16, Compute::F16] {
            segmenter.inference.compute = half;
            let map = segmenter.probability(&volumes[0], &mut ())?;
            let most = (&map.data - &single.data).iter().fold(0f32, |m, d| m.max(d.abs()));
            println!("  probabilities in {half:?} differ by {most:.4} at most");
            assert!(most < 0.1);
        }
    }
    Ok(())
}
