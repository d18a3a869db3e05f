//! Launches of the optimisers' kernels, each for up to 64 tensors.

use super::{Adam, NAME, Rule, Sgd, adam, wrong_slots};
use crate::{reduce::cuda::sum_middle, walk::BLOCK};
use cellseg_core::{
    Buffer, DType, Error, Result, Shape, Tensor,
    cuda::{Arguments, Cuda, CudaBuffer, Launch, Source, Value},
    cuda_source,
};
use std::sync::Arc;

const STEP: Source = cuda_source!("optim/step.cu");

/// Tensors of a launch, and numbers of a block: those of the kernels.
const TENSORS: usize = 64;
const PART: usize = 4096;

/// A parameter on a GPU with its state and its gradient, all `f32` and of one shape.
pub struct Update<'a> {
    /// The parameter's updates from 1, this one included.
    pub step: u64,
    /// The parameter.
    pub parameter: &'a mut CudaBuffer,
    /// The arrays that are kept for it, in the order of [`Rule::slots`](super::Rule::slots).
    pub slots: Vec<&'a mut CudaBuffer>,
    /// The gradient.
    pub gradient: &'a CudaBuffer,
}

/// Checks that each update has the arrays that a rule of these slots keeps, and that all are in `f32`, on this device and as
/// long as the gradient: what the kernels rely on.
fn check(device: &Arc<Cuda>, updates: &[Update<'_>], expected: &[&str]) -> Result<()> {
    for Update { parameter, slots, gradient, .. } in updates {
        if slots.len() != expected.len() {
            return Err(wrong_slots(slots.len(), expected));
        }
        let slots = expected.iter().copied().zip(slots.iter().map(|slot| &**slot));
        for (what, array) in
            [("the parameter", &**parameter), ("the gradient", *gradient)].into_iter().chain(slots)
        {
            if array.dtype() != DType::F32 {
                return Err(Error::DType { op: NAME, found: array.dtype(), expected: "F32 on a GPU" });
            }
            if !Arc::ptr_eq(array.device(), device) {
                let (found, expected) = (array.device().name(), device.name());
                return Err(Error::Device(format!(
                    "{NAME}: {what} is on {found} where {expected} is expected"
                )));
            }
            if array.len() != gradient.len() {
                let why = format!(
                    "{what} holds {} numbers where the gradient holds {}",
                    array.len(),
                    gradient.len()
                );
                return Err(Error::argument(NAME, why));
            }
        }
    }
    Ok(())
}

/// How tensors are spread over blocks, as the kernels take it.
#[repr(C)]
#[derive(Clone, Copy)]
struct Parts {
    counts: [i64; TENSORS],
    first: [i32; TENSORS],
    tensors: i32,
}
// SAFETY: a `repr(C)` struct of numbers, the kernels' `Parts`.
unsafe impl Value for Parts {}

impl Parts {
    /// For at most [`TENSORS`] tensors of these lengths, with the number of blocks.
    fn new(counts: impl Iterator<Item = usize>) -> (Self, usize) {
        let mut parts = Parts { counts: [0; TENSORS], first: [0; TENSORS], tensors: 0 };
        let mut blocks = 0;
        for ((count, first), of) in parts.counts.iter_mut().zip(&mut parts.first).zip(counts) {
            *count = of as i64;
            *first = blocks as i32;
            blocks += of.div_ceil(PART);
            parts.tensors += 1;
        }
        (parts, blocks)
    }
}

fn launch(kernel: &str, blocks: usize) -> Launch<'_> {
    let grid = [blocks as u32, 1, 1];
    Launch { source: &STEP, defines: &[], kernel, grid, block: BLOCK as u32, shared: 0 }
}

/// The numbers that are the same for all tensors of a step, as the kernel takes them.
#[repr(C)]
#[derive(Clone, Copy)]
struct AdamFactors {
    coupled_decay: f32,
    kept: f32,
    first_new: f32,
    second_kept: f32,
    second_new: f32,
    eps: f32,
}
// SAFETY: a `repr(C)` struct of numbers, the kernel's `Adam`.
unsafe impl Value for AdamFactors {}

/// Those that depend on how many steps a tensor has had, as the kernel takes them.
#[repr(C)]
#[derive(Clone, Copy)]
struct Progress {
    second_scale: [f32; TENSORS],
    rate: [f32; TENSORS],
}
// SAFETY: a `repr(C)` struct of numbers, the kernel's `Progress`.
unsafe impl Value for Progress {}

/// A step of Adam.
///
/// # Errors
/// Arrays of other lengths, types or devices than the gradient's; those of the device.
pub(super) fn adam(device: &Arc<Cuda>, rule: &Adam, updates: &mut [Update<'_>]) -> Result<()> {
    check(device, updates, rule.slots())?;
    for updates in updates.chunks_mut(TENSORS) {
        let (parts, blocks) = Parts::new(updates.iter().map(|u| u.gradient.len()));
        let mut progress = Progress { second_scale: [1.0; TENSORS], rate: [0.0; TENSORS] };
        for (i, update) in updates.iter().enumerate() {
            let factors = rule.factors::<f32>(update.step);
            (progress.second_scale[i], progress.rate[i]) = (factors.second_scale, factors.rate);
        }
        // The others are the same in every step.
        let adam::Factors { coupled_decay, kept, first_new, second_kept, second_new, eps, .. } =
            rule.factors::<f32>(1);
        let same = AdamFactors { coupled_decay, kept, first_new, second_kept, second_new, eps };
        let [mut parameters, mut firsts, mut seconds] = [const { Vec::new() }; 3];
        let mut gradients = Vec::new();
        for Update { parameter, slots, gradient, .. } in updates {
            let [first, second] = &mut slots[..] else {
                return Err(wrong_slots(slots.len(), rule.slots()));
            };
            parameters.push(&mut **parameter);
            firsts.push(&mut **first);
            seconds.push(&mut **second);
            gradients.push(*gradient);
        }
        let arguments = Arguments::new()
            .outputs::<TENSORS>(&mut parameters)
            .outputs::<TENSORS>(&mut firsts)
            .outputs::<TENSORS>(&mut seconds)
            .inputs::<TENSORS>(&gradients);
        let arguments = arguments.value(parts).value(progress).value(same);
        // SAFETY: the arrays of each tensor are as long as `parts` says, which was checked; each number is read before it is written.
        unsafe { device.launch(launch("adam", blocks), arguments)? };
    }
    Ok(())
}

/// The settings of a descent, as the kernel takes them.
#[repr(C)]
#[derive(Clone, Copy)]
struct SgdFactors {
    rate: f32,
    decay: f32,
    momentum: f32,
    of_gradient: f32,
    of_velocity: f32,
}
// SAFETY: a `repr(C)` struct of numbers, the kernel's `Sgd`.
unsafe impl Value for SgdFactors {}

/// How much of the gradient enters the velocity of each tensor, as the kernel takes it.
#[repr(C)]
#[derive(Clone, Copy)]
struct Entering([f32; TENSORS]);
// SAFETY: an array of numbers, as the kernel's `Entering` is.
unsafe impl Value for Entering {}

/// A step of descent.
///
/// # Errors
/// As for [`adam`].
pub(super) fn sgd(device: &Arc<Cuda>, rule: &Sgd, updates: &mut [Update<'_>]) -> Result<()> {
    check(device, updates, rule.slots())?;
    let (of_gradient, of_velocity) = rule.shares();
    let factors = SgdFactors {
        rate: rule.lr as f32,
        decay: rule.weight_decay as f32,
        momentum: rule.momentum as f32,
        of_gradient: of_gradient as f32,
        of_velocity: of_velocity as f32,
    };
    for updates in updates.chunks_mut(TENSORS) {
        let (parts, blocks) = Parts::new(updates.iter().map(|u| u.gradient.len()));
        let mut entering = Entering([1.0; TENSORS]);
        let [mut parameters, mut velocities] = [const { Vec::new() }; 2];
        let mut gradients = Vec::new();
        for (entering, Update { step, parameter, slots, gradient }) in entering.0.iter_mut().zip(updates) {
            *entering = rule.entering(*step) as f32;
            parameters.push(&mut **parameter);
            velocities.extend(slots.first_mut().map(|velocity| &mut **velocity));
            gradients.push(*gradient);
        }
        let arguments = Arguments::new()
            .outputs::<TENSORS>(&mut parameters)
            .outputs::<TENSORS>(&mut velocities)
            .inputs::<TENSORS>(&gradients);
        // SAFETY: as for `adam`; either all tensors have a velocity or none has.
        unsafe {
            device.launch(launch("sgd", blocks), arguments.value(parts).value(entering).value(factors))?;
        }
    }
    Ok(())
}

/// The sum of the squares of all numbers.
pub(super) fn squares(device: &Arc<Cuda>, arrays: &[&CudaBuffer]) -> Result<f64> {
    let blocks = arrays.iter().map(|x| x.len().div_ceil(PART)).sum();
    let mut sums = CudaBuffer::new(device, DType::F32, blocks)?;
    let mut first = 0;
    for arrays in arrays.chunks(TENSORS) {
        let (parts, blocks) = Parts::new(arrays.iter().map(|x| x.len()));
        let arguments = Arguments::new().output(&mut sums).value(first as i64);
        // SAFETY: the arrays are as long as `parts` says; there is a sum for each block.
        unsafe {
            device.launch(launch("squares", blocks), arguments.inputs::<TENSORS>(arrays).value(parts))?;
        }
        first += blocks;
    }
    let mut sum = CudaBuffer::new(device, DType::F32, 1)?;
    sum_middle(device, &sums, [1, blocks, 1], 1.0, &mut sum)?;
    Tensor::from_buffer(Shape::scalar(), Buffer::Cuda(sum))?.item()
}

/// Multiplies all numbers by `factor`.
pub(super) fn scale(device: &Arc<Cuda>, arrays: &mut [&mut CudaBuffer], factor: f64) -> Result<()> {
    each(device, "scale", arrays, factor)
}

/// Moves all numbers into `[-limit, limit]`.
pub(super) fn clamp(device: &Arc<Cuda>, arrays: &mut [&mut CudaBuffer], limit: f64) -> Result<()> {
    each(device, "clamp", arrays, limit)
}

/// Runs a kernel that changes each number by a setting.
fn each(device: &Arc<Cuda>, kernel: &str, arrays: &mut [&mut CudaBuffer], setting: f64) -> Result<()> {
    for arrays in arrays.chunks_mut(TENSORS) {
        let (parts, blocks) = Parts::new(arrays.iter().map(|x| x.len()));
        let arguments = Arguments::new().outputs::<TENSORS>(arrays).value(parts).value(setting as f32);
        // SAFETY: the arrays are as long as `parts` says; each number is read before it is written.
        unsafe { device.launch(launch(kernel, blocks), arguments)? };
    }
    Ok(())
}
