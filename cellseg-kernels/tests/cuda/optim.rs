//! Optimisers and limits on gradients.

use crate::parity;
use cellseg_core::{
    DType, Device, Result, Tensor,
    cuda::CudaBuffer,
    testing::{noise, relative_l2, wide},
};
use cellseg_kernels::optim::{Adam, Optimizer, Rule, Sgd, Update, clip_norm, clip_value};
use libtest_mimic::Trial;

/// The lengths of parameters: of one part and of several, none, and more of them than a launch takes.
fn lengths() -> Vec<usize> {
    [1, 7, 300, 4096, 9001, 0, 64].into_iter().chain((7..70).map(|i| i % 11)).collect()
}

/// Parameters after five steps by random gradients, of which some tensors get fewer, and then what the optimiser keeps.
fn stepped<R: Rule>(rule: R, device: &Device) -> Result<Vec<Vec<f64>>> {
    let single = |count: usize, seed: u64| noise(&[count], seed).cast(DType::F32)?.to(device);
    let names: Vec<String> = (0..lengths().len()).map(|i| i.to_string()).collect();
    let mut parameters =
        lengths().into_iter().map(|n| single(n, n as u64)).collect::<Result<Vec<Tensor>>>()?;
    let mut optimizer = Optimizer::new(rule);
    for step in 0..5 {
        let gradients = lengths()
            .into_iter()
            .map(|n| single(n, 1000 * step + n as u64))
            .collect::<Result<Vec<Tensor>>>()?;
        let all = names.iter().zip(&mut parameters).zip(&gradients).enumerate();
        let some = all.filter(|(i, _)| step % 2 == 0 || i % 3 > 0);
        optimizer
            .step(some.map(|(_, ((name, parameter), gradient))| (name.as_str(), parameter, gradient)))?;
    }
    let states = optimizer.states().values().flat_map(|state| &state.slots);
    Ok(parameters.iter().chain(states).map(wide).collect())
}

fn check<R: Rule + Clone>(rule: R, device: &Device) -> Result<()> {
    let (here, there) = (stepped(rule.clone(), &Device::Cpu)?, stepped(rule.clone(), device)?);
    assert_eq!(there, stepped(rule, device)?, "two runs differ");
    assert_eq!(here.len(), there.len());
    for (i, (a, b)) in there.iter().zip(&here).enumerate() {
        let error = relative_l2(a, b);
        // A single number that steps of both signs have moved keeps the rounding of the largest of them.
        assert!(error < 5e-6, "array {i} differs by {error}");
    }
    Ok(())
}

pub(crate) fn trials(device: &Device) -> Vec<Trial> {
    let adam =
        |name: &str, rule: Adam| parity::trial(device, format!("steps of {name}"), move |d| check(rule, d));
    let sgd =
        |name: &str, rule: Sgd| parity::trial(device, format!("steps of {name}"), move |d| check(rule, d));
    vec![
        adam("Adam", Adam { lr: 0.01, ..Adam::default() }),
        adam("Adam with a coupled decay", Adam { lr: 0.01, weight_decay: 0.1, ..Adam::default() }),
        adam("AdamW", Adam { lr: 0.01, ..Adam::decoupled() }),
        sgd("descent", Sgd { lr: 0.1, weight_decay: 0.01, ..Sgd::default() }),
        sgd("descent with momentum", Sgd { lr: 0.1, momentum: 0.9, dampening: 0.3, ..Sgd::default() }),
        sgd("Nesterov's descent", Sgd { lr: 0.1, momentum: 0.9, nesterov: true, ..Sgd::default() }),
        parity::trial(device, "updates whose arrays do not fit together are errors", mismatched),
        parity::trial(device, "the norm of gradients is limited", limited_norm),
        parity::trial(device, "gradients are limited", limited_values),
        parity::trial(device, "steps move a tensor that is shared apart from its twin", shared),
    ]
}

fn gradients(device: &Device) -> Result<Vec<Tensor>> {
    lengths().into_iter().map(|n| noise(&[n], n as u64).cast(DType::F32)?.to(device)).collect()
}

fn limited_norm(device: &Device) -> Result<()> {
    for limit in [0.5, 1e6] {
        let limited = |device: &Device| -> Result<(f64, Vec<Vec<f64>>)> {
            let mut gradients = gradients(device)?;
            let norm = clip_norm(&mut gradients, limit)?;
            Ok((norm, gradients.iter().map(wide).collect()))
        };
        let ((a, there), (b, here)) = (limited(device)?, limited(&Device::Cpu)?);
        assert!((a - b).abs() < 1e-6 * b, "{a} on the GPU, {b} on the CPU");
        for (a, b) in there.iter().zip(&here) {
            assert!(relative_l2(a, b) < 1e-6);
        }
    }
    let mut infinite = gradients(device)?;
    infinite.push(Tensor::full(f32::INFINITY, &[3])?.to(device)?);
    let before: Vec<_> = infinite.iter().map(wide).collect();
    assert!(!clip_norm(&mut infinite, 1.0)?.is_finite());
    assert_eq!(before, infinite.iter().map(wide).collect::<Vec<_>>());
    Ok(())
}

fn limited_values(device: &Device) -> Result<()> {
    let limited = |device: &Device| -> Result<Vec<Vec<f64>>> {
        let mut gradients = gradients(device)?;
        clip_value(&mut gradients, 0.7)?;
        Ok(gradients.iter().map(wide).collect())
    };
    assert_eq!(limited(device)?, limited(&Device::Cpu)?);
    Ok(())
}

/// What a step says to arrays of these types and lengths: the parameter, its gradient, and the slots.
fn stepped_by<R: Rule>(
    rule: &R,
    device: &Device,
    parameter: (DType, usize),
    gradient: (DType, usize),
    slots: &[(DType, usize)],
) -> Result<String> {
    let Device::Cuda(gpu) = device else { unreachable!("trials are given a GPU") };
    let array = |(dtype, count)| CudaBuffer::zeroed(gpu, dtype, count);
    let (mut parameter, gradient) = (array(parameter)?, array(gradient)?);
    let mut slots = slots.iter().map(|&slot| array(slot)).collect::<Result<Vec<_>>>()?;
    let slots = slots.iter_mut().collect();
    let mut updates = [Update { step: 1, parameter: &mut parameter, slots, gradient: &gradient }];
    Ok(rule.update_on_gpu(gpu, &mut updates).err().map(|why| why.to_string()).unwrap_or_default())
}

fn mismatched(device: &Device) -> Result<()> {
    let (adam, sgd) = (Adam::default(), Sgd { momentum: 0.9, ..Sgd::default() });
    let of = |count| (DType::F32, count);
    let half = (DType::F16, 5000);
    let whole = of(5000);
    assert_eq!(stepped_by(&adam, device, whole, whole, &[whole; 2])?, "");
    assert_eq!(stepped_by(&sgd, device, whole, whole, &[whole])?, "");
    for (parameter, gradient, slots, told) in [
        (of(4999), whole, [whole; 2], "the parameter holds 4999 numbers where the gradient holds 5000"),
        (whole, of(5001), [whole; 2], "the parameter holds 5000 numbers where the gradient holds 5001"),
        (whole, whole, [of(1), whole], "exp_avg holds 1 numbers where the gradient holds 5000"),
        (whole, whole, [whole, of(0)], "exp_avg_sq holds 0 numbers where the gradient holds 5000"),
        (half, whole, [whole; 2], "F16"),
        (whole, half, [whole; 2], "F16"),
        (whole, whole, [whole, half], "F16"),
    ] {
        let why = stepped_by(&adam, device, parameter, gradient, &slots)?;
        assert!(why.contains(told), "{told}: {why}");
    }
    let why = stepped_by(&adam, device, whole, whole, &[whole])?;
    assert!(why.contains("1 arrays of state"), "{why}");
    let why = stepped_by(&sgd, device, whole, whole, &[])?;
    assert!(why.contains("0 arrays of state"), "{why}");
    let why = stepped_by(&sgd, device, whole, whole, &[of(4096)])?;
    assert!(why.contains("momentum_buffer holds 4096 numbers"), "{why}");
    Ok(())
}

fn shared(device: &Device) -> Result<()> {
    let mut parameter = Tensor::full(1f32, &[100])?.to(device)?;
    let twin = parameter.clone();
    let gradient = Tensor::full(1f32, &[100])?.to(device)?;
    Optimizer::new(Sgd { lr: 0.5, ..Sgd::default() }).step([("w", &mut parameter, &gradient)])?;
    assert_eq!(parameter.to_vec::<f32>()?, [0.5; 100]);
    assert_eq!(twin.to_vec::<f32>()?, [1.0; 100]);
    Ok(())
}
