//! What an operation is, and how it is run.

use crate::{
    Buffer, CpuBuffer, DType, Error, Real, Result, Shape, Tensor,
    cuda::{Cuda, CudaBuffer},
    storage::PIECE,
};
use rayon::prelude::*;
use std::{borrow::Cow, sync::Arc};

/// A computation of one tensor from `N` tensors, with a method for each kind of device.
///
/// The implementing type holds the settings. Gradient computations are plain kernels; what can be differentiated is an
/// [`Op`] as well.
pub trait Kernel<const N: usize>: Clone + Send + 'static {
    /// The name that errors give.
    const NAME: &'static str;

    /// Whether the first input's numbers may be overwritten by the output where nobody else holds them: see
    /// [`Kernel::cpu_in_place`].
    const IN_PLACE: bool = false;

    /// The same where no gradient will be asked for, so that no input need be kept.
    const IN_PLACE_UNRECORDED: bool = Self::IN_PLACE;

    /// What is computed beside the output: statistics, a mask, further gradients. `()` for most.
    type Aux: Send + 'static;

    /// The output's shape. The only place where shapes and settings are checked.
    ///
    /// # Errors
    /// [`Error::Argument`], saying what was given and what was expected.
    fn shape(&self, inputs: [Shape; N]) -> Result<Shape>;

    /// Computes every element of `out` on the CPU. `recording` says whether a gradient will be asked for: only then is
    /// `Aux` needed in full. A kernel that works in place need not write this method: the first input is then copied to
    /// `out`, and [`Kernel::cpu_in_place`] does the rest.
    ///
    /// # Errors
    /// Memory for [`Kernel::Aux`] that could not be had.
    fn cpu<T: Real>(
        &self,
        shapes: [Shape; N],
        mut inputs: [&[T]; N],
        out: &mut [T],
        recording: bool,
    ) -> Result<Self::Aux> {
        match inputs.first_mut() {
            Some(first) if Self::IN_PLACE_UNRECORDED && first.len() == out.len() => {
                out.par_chunks_mut(PIECE)
                    .zip(first.par_chunks(PIECE))
                    .for_each(|(o, x)| o.copy_from_slice(x));
                *first = &[];
                self.cpu_in_place(shapes, inputs, out, recording)
            }
            _ => Err(Error::argument(Self::NAME, "this operation does not work in place")),
        }
    }

    /// The same where `data` holds the first input before and the output after; `inputs[0]` is empty. Called only where
    /// [`Kernel::IN_PLACE`] is true, or [`Kernel::IN_PLACE_UNRECORDED`] is and `recording` is not.
    ///
    /// # Errors
    /// As for [`Kernel::cpu`].
    fn cpu_in_place<T: Real>(
        &self,
        shapes: [Shape; N],
        inputs: [&[T]; N],
        data: &mut [T],
        recording: bool,
    ) -> Result<Self::Aux> {
        let _ = (shapes, inputs, data, recording);
        Err(Error::argument(Self::NAME, "this operation does not work in place"))
    }

    /// Computes every element of `out` on a GPU.
    ///
    /// # Errors
    /// [`Error::NoKernel`] where the operation has no CUDA kernel, which is what this method says by itself.
    fn cuda(
        &self,
        device: &Arc<Cuda>,
        shapes: [Shape; N],
        inputs: [&CudaBuffer; N],
        out: &mut CudaBuffer,
        recording: bool,
    ) -> Result<Self::Aux> {
        let _ = (shapes, inputs, out, recording);
        Err(Error::NoKernel { op: Self::NAME, device: device.name() })
    }
}

/// A differentiable [`Kernel`].
pub trait Op<const N: usize>: Kernel<N> {
    /// What the gradient needs, and nothing else: it lives until the backward pass has used it.
    type Saved: Send + 'static;

    /// Picks what the gradient needs from the forward pass. Tensors are to be kept detached.
    fn save(&self, aux: Self::Aux, inputs: [&Tensor; N], out: &Tensor) -> Self::Saved;

    /// The gradients of the inputs that are `wanted`, from the gradient of the output, which is given away so that its
    /// buffer can serve for one of them.
    ///
    /// # Errors
    /// Those of the kernels that it runs.
    fn backward(&self, saved: Self::Saved, grad: Tensor, wanted: [bool; N]) -> Result<[Option<Tensor>; N]>;
}

/// Runs a differentiable operation, and records it where an input is on a tape.
///
/// An input that is given away (`Cow::Owned`) and shared with nobody lends its buffer to the output where the operation
/// works in place, so that `relu(conv3d(..)?)` takes no memory of its own.
///
/// # Errors
/// Those of [`run`]; [`Error::Gradient`] where the inputs are on different tapes.
pub fn apply<'a, const N: usize, O: Op<N>>(op: O, inputs: [Cow<'a, Tensor>; N]) -> Result<Tensor> {
    let tape = inputs.iter().find_map(|t| t.tape()).cloned();
    if let Some(tape) = &tape
        && inputs.iter().filter_map(|t| t.tape()).any(|t| !t.is(tape))
    {
        return Err(Error::Gradient("the inputs of one operation are on different tapes; use one tape"));
    }
    let wanted = std::array::from_fn(|i| inputs[i].wants_gradient());
    let wants_gradient = wanted.contains(&true);
    let Some(tape) = tape else {
        let (mut y, _) = compute(&op, inputs, false)?;
        y.set_recording(None, wants_gradient);
        return Ok(y);
    };
    if !wants_gradient || tape.discards() {
        let (mut y, _) = compute(&op, inputs, false)?;
        y.set_recording(Some(tape), wants_gradient);
        return Ok(y);
    }
    let ids = std::array::from_fn::<_, N, _>(|i| inputs[i].id());
    // What may be saved must be held while the operation runs. Where it works in place the first input is the one that
    // it promises not to save.
    let held: [Option<Tensor>; N] =
        std::array::from_fn(|i| (!O::IN_PLACE || i > 0).then(|| inputs[i].detached()));
    let (mut y, aux) = compute(&op, inputs, true)?;
    let inputs = std::array::from_fn(|i| held[i].as_ref().unwrap_or(&y));
    let saved = op.save(aux, inputs, &y);
    tape.record(y.id(), move |grad| {
        let grads = op.backward(saved, grad, wanted)?;
        Ok(ids.into_iter().zip(grads).filter_map(|(id, g)| g.map(|g| (id, g))).collect())
    });
    y.set_recording(Some(tape), true);
    Ok(y)
}

/// Runs a kernel without recording anything, and returns all that it computed. This is how gradients are computed.
///
/// # Errors
/// Those of [`Kernel::shape`]; [`Error::Device`] where the inputs lie on different devices, [`Error::DType`] where their
/// types differ or are not floating point, [`Error::Memory`].
pub fn run<'a, const N: usize, K: Kernel<N>>(
    kernel: &K,
    inputs: [Cow<'a, Tensor>; N],
) -> Result<(Tensor, K::Aux)> {
    let (mut y, aux) = compute(kernel, inputs, true)?;
    y.set_recording(None, false);
    Ok((y, aux))
}

fn compute<const N: usize, K: Kernel<N>>(
    kernel: &K,
    inputs: [Cow<'_, Tensor>; N],
    recording: bool,
) -> Result<(Tensor, K::Aux)> {
    let shapes = std::array::from_fn(|i| inputs[i].shape());
    let shape = kernel.shape(shapes)?;
    let Some(dtype) = inputs.first().map(|t| t.dtype()) else {
        return Err(Error::argument(K::NAME, "an operation needs at least one input"));
    };
    if let Some(other) = inputs.iter().find(|t| t.dtype() != dtype) {
        return Err(Error::DType { op: K::NAME, found: other.dtype(), expected: "the first input's type" });
    }
    match dtype {
        DType::F32 => typed::<f32, N, K>(kernel, shapes, shape, inputs, recording),
        DType::F64 => typed::<f64, N, K>(kernel, shapes, shape, inputs, recording),
        DType::F16 | DType::BF16 if matches!(inputs[0].buffer(), Buffer::Cpu(_)) => {
            // Half precision is a storage type on the CPU: widened on the way in, rounded on the way out.
            let mut wide = inputs.map(Cow::into_owned);
            for t in &mut wide {
                *t = t.cast(DType::F32)?;
            }
            let (y, aux) = typed::<f32, N, K>(kernel, shapes, shape, wide.map(Cow::Owned), recording)?;
            Ok((y.cast(dtype)?, aux))
        }
        // A GPU kernel is typed by its buffers; the Rust type here decides nothing.
        DType::F16 | DType::BF16 => typed::<f32, N, K>(kernel, shapes, shape, inputs, recording),
        DType::U8 | DType::I32 => {
            Err(Error::DType { op: K::NAME, found: dtype, expected: "a floating point type" })
        }
    }
}

fn typed<T: Real, const N: usize, K: Kernel<N>>(
    kernel: &K,
    shapes: [Shape; N],
    shape: Shape,
    mut inputs: [Cow<'_, Tensor>; N],
    recording: bool,
) -> Result<(Tensor, K::Aux)> {
    let elsewhere = || {
        Error::Device(format!("{}: its inputs lie on different devices; move them with Tensor::to", K::NAME))
    };
    if let Buffer::Cuda(first) = inputs[0].buffer() {
        let device = first.device().clone();
        let mut buffers = [first; N];
        for (b, t) in buffers.iter_mut().zip(&inputs) {
            *b = match t.buffer() {
                Buffer::Cuda(x) if Arc::ptr_eq(x.device(), &device) => x,
                _ => return Err(elsewhere()),
            };
        }
        let mut out = CudaBuffer::new(&device, first.dtype(), shape.count())?;
        let aux = kernel.cuda(&device, shapes, buffers, &mut out, recording)?;
        return Ok((Tensor::wrap(shape, Buffer::Cuda(out)), aux));
    }
    if inputs.iter().any(|t| matches!(t.buffer(), Buffer::Cuda(_))) {
        return Err(elsewhere());
    }
    let in_place = if recording { K::IN_PLACE } else { K::IN_PLACE_UNRECORDED };
    let lent = match &mut inputs[0] {
        Cow::Owned(t) if in_place && t.is_sole_owner() && t.shape().count() == shape.count() => {
            let placeholder = Tensor::wrap(shape, Buffer::Cpu(CpuBuffer::new(T::DTYPE, 0)?));
            std::mem::replace(t, placeholder).into_buffer()
        }
        _ => None,
    };
    let mut slices = [&[] as &[T]; N];
    for (s, t) in slices.iter_mut().zip(&inputs) {
        *s = t.as_slice()?;
    }
    match lent {
        Some(Buffer::Cpu(mut data)) => {
            let out = data.as_mut_slice().unwrap_or_default();
            let aux = kernel.cpu_in_place(shapes, slices, out, recording)?;
            Ok((Tensor::wrap(shape, Buffer::Cpu(data)), aux))
        }
        _ => {
            let mut data = CpuBuffer::new(T::DTYPE, shape.count())?;
            let out = data.as_mut_slice().unwrap_or_default();
            let aux = kernel.cpu(shapes, slices, out, recording)?;
            Ok((Tensor::wrap(shape, Buffer::Cpu(data)), aux))
        }
    }
}
