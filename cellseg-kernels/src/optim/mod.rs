//! Optimisers: how parameters follow their gradients, by the formulas of PyTorch.
//!
//! An [`Optimizer`] is a [`Rule`], which holds the settings, and a [`State`] per parameter, found by the parameter's name.
//! States can be taken out and put back, and training then goes on with the same bits. A step is one pass over all
//! parameters, their gradients and their states, in place: threads wait for each other at its end only.
//!
//! ```
//! use cellseg_core::{Tape, Tensor};
//! use cellseg_kernels::{loss::mse, optim::{Adam, Optimizer}};
//!
//! let target = Tensor::full(1.0f32, &[4])?;
//! let mut w = Tensor::full(0.0f32, &[4])?.trainable();
//! let mut adam = Optimizer::new(Adam { lr: 0.1, ..Adam::default() });
//! for _ in 0..100 {
//!     let tape = Tape::new();
//!     let loss = mse(&w.on(&tape), &target)?;
//!     let grads = tape.backward(&loss)?;
//!     let grad = grads.get(&w).expect("the loss depends on w").clone();
//!     adam.step([("w", &mut w, &grad)])?;
//! }
//! assert!(w.to_vec::<f32>()?.iter().all(|w| (w - 1.0).abs() < 0.05));
//! # Ok::<(), cellseg_core::Error>(())
//! ```

mod adam;
mod clip;
mod cuda;
mod sgd;
#[cfg(test)]
mod tests;

pub use adam::Adam;
pub use clip::{clip_norm, clip_value};
pub use cuda::Update;
pub use sgd::Sgd;

use crate::walk::on_gpu;
use cellseg_core::{
    Buffer, DType, Device, Error, Real, Result, Tensor,
    cuda::{Cuda, CudaBuffer},
};
use rayon::prelude::*;
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

const NAME: &str = "optimizer";

/// How a parameter follows its gradient.
pub trait Rule: Sync {
    /// The names, as in PyTorch's state dict, of the arrays that are kept for each parameter; they start as zeros.
    fn slots(&self) -> &'static [&'static str];

    /// Checks the settings.
    ///
    /// # Errors
    /// [`Error::Argument`] where one is out of its range.
    fn check(&self) -> Result<()>;

    /// Moves a parameter. `step` counts its updates from 1, this one included.
    ///
    /// # Errors
    /// Slots of another type or shape than the parameter.
    fn update<T: Real>(
        &self,
        step: u64,
        parameter: &mut [T],
        slots: &mut [Tensor],
        gradient: &[T],
    ) -> Result<()>;

    /// Moves parameters that lie on a GPU, in `f32`, with few launches for all of them.
    ///
    /// # Errors
    /// [`Error::NoKernel`] where the rule has no CUDA kernel, which is what this method says by itself; arrays that are not
    /// as many as [`Rule::slots`], or whose length, type or device differs from the gradient's.
    fn update_on_gpu(&self, device: &Arc<Cuda>, updates: &mut [Update<'_>]) -> Result<()> {
        let _ = updates;
        Err(Error::NoKernel { op: NAME, device: device.name() })
    }
}

/// What an optimiser keeps for one parameter.
#[derive(Debug, Clone)]
pub struct State {
    /// How many updates the parameter has had.
    pub step: u64,
    /// Arrays of the parameter's shape and type, in the order of [`Rule::slots`].
    pub slots: Vec<Tensor>,
}

/// A rule with its state for each parameter.
#[derive(Debug, Clone)]
pub struct Optimizer<R> {
    /// The settings; they may change between steps, as the learning rate does by a schedule.
    pub rule: R,
    states: BTreeMap<String, State>,
}

impl<R: Rule> Optimizer<R> {
    /// An optimiser that has seen no parameter.
    pub fn new(rule: R) -> Self {
        Self::resume(rule, BTreeMap::new())
    }

    /// An optimiser that goes on from the states that [`Optimizer::states`] gave, by parameter name.
    pub fn resume(rule: R, states: BTreeMap<String, State>) -> Self {
        Optimizer { rule, states }
    }

    /// The state of each parameter that was updated, by its name.
    pub fn states(&self) -> &BTreeMap<String, State> {
        &self.states
    }

    /// Moves each parameter, given with its name and its gradient. Either all are moved or, where there is an error in
    /// what was given, none.
    ///
    /// # Errors
    /// [`Error::Argument`] for settings out of range, a name that comes twice, a gradient or a state whose shape is not
    /// the parameter's; [`Error::DType`] where types differ or are neither `f32` nor `f64`, which is for the CPU only;
    /// [`Error::Device`] where numbers do not lie on one device.
    pub fn step<'a>(
        &mut self,
        parameters: impl IntoIterator<Item = (&'a str, &'a mut Tensor, &'a Tensor)>,
    ) -> Result<()> {
        self.rule.check()?;
        let parameters: Vec<_> = parameters.into_iter().collect();
        let Some(device) = parameters.first().map(|(_, parameter, _)| parameter.device()) else {
            return Ok(());
        };
        let mut names = BTreeSet::new();
        for (name, parameter, gradient) in &parameters {
            if !names.insert(*name) {
                return Err(Error::argument(NAME, format!("the parameter {name} is given twice")));
            }
            self.check(name, parameter, gradient, &device)?;
        }
        for (name, parameter, _) in &parameters {
            if !self.states.contains_key(*name) {
                let slots = self.rule.slots().iter().map(|_| zeros(parameter)).collect::<Result<_>>()?;
                self.states.insert((*name).to_string(), State { step: 0, slots });
            }
        }
        let mut states: BTreeMap<&str, &mut State> =
            self.states.iter_mut().map(|(name, state)| (name.as_str(), state)).collect();
        let work: Vec<_> = parameters
            .into_iter()
            .filter_map(|(name, parameter, gradient)| Some((states.remove(name)?, parameter, gradient)))
            .collect();
        let rule = &self.rule;
        if let Device::Cuda(device) = device {
            return step_on_gpu(rule, &device, work);
        }
        work.into_par_iter().try_for_each(|(state, parameter, gradient)| match parameter.dtype() {
            DType::F64 => state.update::<f64, R>(rule, parameter, gradient),
            _ => state.update::<f32, R>(rule, parameter, gradient),
        })
    }

    fn check(&self, name: &str, parameter: &Tensor, gradient: &Tensor, device: &Device) -> Result<()> {
        let (shape, dtype) = (parameter.shape(), parameter.dtype());
        match (dtype, device) {
            (DType::F32, _) | (DType::F64, Device::Cpu) => (),
            (found, Device::Cpu) => return Err(Error::DType { op: NAME, found, expected: "F32 or F64" }),
            (found, _) => return Err(Error::DType { op: NAME, found, expected: "F32 on a GPU" }),
        }
        let alike = |what: &str, t: &Tensor| {
            if t.dtype() != dtype {
                return Err(Error::DType { op: NAME, found: t.dtype(), expected: "the parameter's type" });
            }
            if t.shape() != shape {
                let of = format!("{what} of {name} has shape {:?}; the parameter has {shape:?}", t.shape());
                return Err(Error::argument(NAME, of));
            }
            if t.device() != *device {
                return Err(Error::Device(format!(
                    "{NAME}: {what} of {name} is on {:?} where {device:?} is expected; use Tensor::to",
                    t.device()
                )));
            }
            Ok(())
        };
        alike("the value", parameter)?;
        alike("the gradient", gradient)?;
        let Some(state) = self.states.get(name) else { return Ok(()) };
        let expected = self.rule.slots();
        if state.slots.len() != expected.len() {
            let why = format!("the state of {name} holds {} arrays, not {expected:?}", state.slots.len());
            return Err(Error::argument(NAME, why));
        }
        expected.iter().zip(&state.slots).try_for_each(|(slot, t)| alike(slot, t))
    }
}

impl State {
    fn update<T: Real, R: Rule>(
        &mut self,
        rule: &R,
        parameter: &mut Tensor,
        gradient: &Tensor,
    ) -> Result<()> {
        rule.update(
            self.step + 1,
            parameter.as_mut_slice::<T>()?,
            &mut self.slots,
            gradient.as_slice::<T>()?,
        )?;
        self.step += 1;
        Ok(())
    }
}

/// As many zeros as a parameter has numbers, beside it.
fn zeros(parameter: &Tensor) -> Result<Tensor> {
    let dims = parameter.shape();
    match (parameter.device(), parameter.dtype()) {
        (Device::Cuda(device), dtype) => {
            Tensor::from_buffer(dims, Buffer::Cuda(CudaBuffer::zeroed(&device, dtype, dims.count())?))
        }
        (Device::Cpu, DType::F64) => Tensor::full(0f64, dims.dims()),
        (Device::Cpu, _) => Tensor::full(0f32, dims.dims()),
    }
}

/// The buffer of a tensor that is known to be on a GPU, to be written.
fn writable(tensor: &mut Tensor) -> Result<&mut CudaBuffer> {
    match tensor.buffer_mut()? {
        Buffer::Cuda(numbers) => Ok(numbers),
        Buffer::Cpu(_) => Err(Error::Device(format!("{NAME}: numbers are not on the GPU of the others"))),
    }
}

/// Moves parameters on a GPU, which were checked.
fn step_on_gpu<R: Rule>(
    rule: &R,
    device: &Arc<Cuda>,
    work: Vec<(&mut State, &mut Tensor, &Tensor)>,
) -> Result<()> {
    let mut steps = Vec::with_capacity(work.len());
    let mut updates = Vec::with_capacity(work.len());
    for (State { step, slots }, parameter, gradient) in work {
        updates.push(Update {
            step: *step + 1,
            parameter: writable(parameter)?,
            slots: slots.iter_mut().map(writable).collect::<Result<_>>()?,
            gradient: on_gpu(NAME, gradient)?,
        });
        steps.push(step);
    }
    rule.update_on_gpu(device, &mut updates)?;
    steps.into_iter().for_each(|step| *step += 1);
    Ok(())
}

/// Checks that a setting is a number from zero up.
fn not_negative(setting: &str, x: f64) -> Result<()> {
    if x >= 0.0 && x.is_finite() {
        return Ok(());
    }
    Err(Error::argument(NAME, format!("{setting} is {x}; it must be finite and not negative")))
}

/// The error for slots that are not those of a rule.
fn wrong_slots(found: usize, expected: &[&str]) -> Error {
    Error::argument(NAME, format!("{found} arrays of state where {expected:?} are expected"))
}
