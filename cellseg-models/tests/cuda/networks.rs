//! A training pass of each supervised network.

use super::trial;
use cellseg_core::{Device, Tape, Tensor, testing::relative_l2};
use cellseg_kernels::reduce::sum;
use cellseg_models::{
    Compute, Network, PassMode, SegResNet, SegResNetConfig, Trailmap, TrailmapConfig, VNet, VNetConfig,
};
use libtest_mimic::Trial;

pub(crate) fn trials(device: &Device) -> Vec<Trial> {
    vec![
        trial(device, "a training pass of TRAILMAP is that of the CPU", |gpu| {
            let config = TrailmapConfig { width: 4, ..TrailmapConfig::default() };
            parity(gpu, Trailmap::new(&config, 3).unwrap(), [2, 8, 8, 16, 1]);
        }),
        trial(device, "a training pass of SegResNet is that of the CPU", |gpu| {
            let config = SegResNetConfig::default();
            parity(gpu, SegResNet::new(&config, 3).unwrap(), [1, 8, 8, 16, 1]);
        }),
        trial(device, "a training pass of VNet is that of the CPU", |gpu| {
            let config = VNetConfig { width: 2, ..VNetConfig::default() };
            parity(gpu, VNet::new(&config, 3).unwrap(), [2, 16, 16, 32, 1]);
        }),
    ]
}

/// Output, statistics and gradients are near those of the CPU, and the same bits twice.
fn parity(gpu: &Device, network: impl Network + 'static, dims: [usize; 5]) {
    for (compute, tolerance) in [(Compute::F32, 2e-2), (Compute::BF16, 0.2)] {
        let [here, there, again] =
            [&Device::Cpu, gpu, gpu].map(|device| pass(device, &network, dims, compute));
        assert_eq!(there, again, "{compute:?}");
        for (what, (here, there)) in ["output", "statistics", "gradients"].iter().zip(here.iter().zip(&there))
        {
            let error = if here.is_empty() { 0.0 } else { relative_l2(there, here) };
            assert!(error < tolerance, "{compute:?}: {what} differ by {error}");
        }
    }
}

/// Output, statistics and gradients.
fn pass(device: &Device, network: &impl Network, dims: [usize; 5], compute: Compute) -> [Vec<f64>; 3] {
    let mut rng = cellseg_core::Rng::new(5);
    let image: Vec<f32> = (0..dims.iter().product()).map(|_| rng.normal() as f32).collect();
    let image = Tensor::from_slice(&image, &dims).unwrap().to(device).unwrap();
    let (mut network, tape) = (network.boxed(), Tape::new());
    network.set_compute(compute);
    network.move_to(device).unwrap();
    let mode = PassMode { dropout_key: Some(1), checkpoint: false };
    let y = network.training_logits(&image.on(&tape), &mode).unwrap();
    let gradients = tape.backward(&sum(&y).unwrap()).unwrap();
    let wide = |t: &Tensor| t.to_vec::<f32>().unwrap().into_iter().map(f64::from).collect::<Vec<_>>();
    let mut found = [wide(&y), vec![], vec![]];
    network.each("", &mut |_, p| match gradients.get(p.tensor()) {
        Some(gradient) => found[2].extend(wide(gradient)),
        None => found[1].extend(wide(p.tensor())),
    });
    found
}
