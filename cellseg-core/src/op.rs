//! What an operation is, and how it is run.

use crate::{
    Buffer, CpuBuffer, DType, Device, Error, Real, Result, Shape, Tensor,
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

    /// Computes every element of `out` on a GPU, in the inputs' type. Where the operation works in place (see
    /// [`Kernel::IN_PLACE`]), `out` may be the very memory of `inputs[0]`: each element must be read before it is
    /// written.
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
    let in_place = if recording { K::IN_PLACE } else { K::IN_PLACE_UNRECORDED };
    let first = inputs[0].device();
    if inputs.iter().any(|t| t.device() != first) {
        return Err(Error::Device(format!(
            "{}: its inputs lie on different devices; move them with Tensor::to",
            K::NAME
        )));
    }
    if let Device::Cuda(device) = first {
        return on_gpu(kernel, &device, shapes, shape, inputs, recording, in_place);
    }
    match dtype {
        DType::F32 => on_cpu::<f32, N, K>(kernel, shapes, shape, inputs, recording, in_place),
        DType::F64 => on_cpu::<f64, N, K>(kernel, shapes, shape, inputs, recording, in_place),
        DType::F16 | DType::BF16 => {
            // Half precision is a storage type on the CPU: widened on the way in, rounded on the way out.
            let mut wide = inputs.map(Cow::into_owned);
            for t in &mut wide {
                *t = t.detached().cast(DType::F32)?;
            }
            let wide = wide.map(Cow::Owned);
            let (y, aux) = on_cpu::<f32, N, K>(kernel, shapes, shape, wide, recording, in_place)?;
            Ok((y.cast(dtype)?, aux))
        }
        DType::U8 | DType::I32 => {
            Err(Error::DType { op: K::NAME, found: dtype, expected: "a floating point type" })
        }
    }
}

/// The numbers of the first input, where the output may take their place: it was given away, and nobody shares it.
fn lent<const N: usize>(
    inputs: &mut [Cow<'_, Tensor>; N],
    shape: Shape,
    in_place: bool,
) -> Result<Option<Buffer>> {
    match &mut inputs[0] {
        Cow::Owned(t) if in_place && t.is_sole_owner() && t.shape().count() == shape.count() => {
            let placeholder = Tensor::wrap(shape, Buffer::Cpu(CpuBuffer::new(t.dtype(), 0)?));
            Ok(std::mem::replace(t, placeholder).into_buffer())
        }
        _ => Ok(None),
    }
}

/// A GPU kernel is typed by its buffers. Where it works in place, its first input and its output are the same memory.
fn on_gpu<const N: usize, K: Kernel<N>>(
    kernel: &K,
    device: &Arc<Cuda>,
    shapes: [Shape; N],
    shape: Shape,
    mut inputs: [Cow<'_, Tensor>; N],
    recording: bool,
    in_place: bool,
) -> Result<(Tensor, K::Aux)> {
    let dtype = inputs[0].dtype();
    let (alias, mut out) = match lent(&mut inputs, shape, in_place)? {
        Some(Buffer::Cuda(data)) => (Some(data.alias()), data),
        _ => (None, CudaBuffer::new(device, dtype, shape.count())?),
    };
    let mut given = inputs.iter().filter_map(|t| match t.buffer() {
        Buffer::Cuda(b) => Some(b),
        Buffer::Cpu(_) => None,
    });
    // The placeholder of a lent input is on the host, so exactly the others are left.
    let mut buffers = [None; N];
    for (i, b) in buffers.iter_mut().enumerate() {
        *b = if i == 0 && alias.is_some() { alias.as_ref() } else { given.next() };
    }
    let Some(buffers) = buffers.iter().copied().collect::<Option<Vec<_>>>().and_then(|b| b.try_into().ok())
    else {
        return Err(Error::Device(format!("{}: its inputs are not all on {}", K::NAME, device.name())));
    };
    let aux = kernel.cuda(device, shapes, buffers, &mut out, recording)?;
    Ok((Tensor::wrap(shape, Buffer::Cuda(out)), aux))
}

fn on_cpu<T: Real, const N: usize, K: Kernel<N>>(
    kernel: &K,
    shapes: [Shape; N],
    shape: Shape,
    mut inputs: [Cow<'_, Tensor>; N],
    recording: bool,
    in_place: bool,
) -> Result<(Tensor, K::Aux)> {
    let lent = lent(&mut inputs, shape, in_place)?;
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
