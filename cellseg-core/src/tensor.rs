//! The tensor.

use crate::{
    Buffer, CpuBuffer, DType, Device, Element, Error, Result, Shape, Tape, cuda::CudaBuffer, derived::Derived,
};
use std::{
    borrow::Cow,
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

/// Names one value of a tensor: a tensor that is written to gets a new one, clones share it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Id(u64);

impl Id {
    fn fresh() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        Id(NEXT.fetch_add(1, Ordering::Relaxed))
    }
}

/// The numbers of a tensor, and what has been computed from them.
struct Data {
    buffer: Buffer,
    derived: Derived,
}

impl Data {
    fn new(buffer: Buffer) -> Arc<Self> {
        Arc::new(Data { buffer, derived: Derived::default() })
    }
}

/// An array of numbers on one device: contiguous, reference counted, cheap to clone.
///
/// Two properties concern gradients. A tensor *wants a gradient* if it was made [`trainable`](Tensor::trainable) or was
/// computed from one that does. A tensor may be *on a tape*, which records what is computed from it; parameters are on
/// none, recording starts at the input of a network: `model.forward(&x.on(&tape))`.
#[derive(Clone)]
pub struct Tensor {
    id: Id,
    shape: Shape,
    data: Arc<Data>,
    wants_gradient: bool,
    tape: Option<Tape>,
}

impl Tensor {
    pub(crate) fn wrap(shape: Shape, data: Buffer) -> Self {
        Tensor { id: Id::fresh(), shape, data: Data::new(data), wants_gradient: false, tape: None }
    }

    /// A tensor of the numbers of a buffer, on the buffer's device: how an operation gives back what it computed beside
    /// its output.
    ///
    /// # Errors
    /// [`Error::Count`] where they do not fill the shape exactly.
    pub fn from_buffer(shape: Shape, buffer: Buffer) -> Result<Self> {
        let given = match &buffer {
            Buffer::Cpu(b) => b.len(),
            Buffer::Cuda(b) => b.len(),
        };
        if given != shape.count() {
            return Err(Error::Count { given, shape });
        }
        Ok(Self::wrap(shape, buffer))
    }

    /// A tensor of these numbers, outermost axis first, on the CPU.
    ///
    /// # Errors
    /// [`Error::Count`] where they do not fill the shape exactly.
    pub fn from_slice<T: Element>(xs: &[T], dims: &[usize]) -> Result<Self> {
        let shape = Shape::new(dims)?;
        if xs.len() != shape.count() {
            return Err(Error::Count { given: xs.len(), shape });
        }
        Ok(Self::wrap(shape, Buffer::Cpu(CpuBuffer::from_slice(xs)?)))
    }

    /// A tensor on the CPU whose numbers `fill` writes.
    ///
    /// # Errors
    /// [`Error::Memory`], and whatever `fill` returns.
    pub fn build<T: Element>(dims: &[usize], fill: impl FnOnce(&mut [T]) -> Result<()>) -> Result<Self> {
        let shape = Shape::new(dims)?;
        let mut buffer = CpuBuffer::new(T::DTYPE, shape.count())?;
        fill(buffer.as_mut_slice().unwrap_or_default())?;
        Ok(Self::wrap(shape, Buffer::Cpu(buffer)))
    }

    /// A tensor on the CPU with the same number everywhere.
    ///
    /// # Errors
    /// [`Error::Memory`].
    pub fn full<T: Element>(x: T, dims: &[usize]) -> Result<Self> {
        Self::build(dims, |out: &mut [T]| {
            out.fill(x);
            Ok(())
        })
    }

    /// A tensor without axes that holds one number.
    ///
    /// # Errors
    /// [`Error::Memory`].
    pub fn scalar<T: Element>(x: T) -> Result<Self> {
        Self::full(x, &[])
    }

    /// The extents.
    pub fn shape(&self) -> Shape {
        self.shape
    }

    /// The type of the numbers.
    pub fn dtype(&self) -> DType {
        self.data.buffer.dtype()
    }

    /// The device that holds the numbers.
    pub fn device(&self) -> Device {
        self.data.buffer.device()
    }

    /// The numbers, where they lie.
    pub fn buffer(&self) -> &Buffer {
        &self.data.buffer
    }

    /// What `build` computes from the numbers: kept with them and built anew only after they have changed, or where no
    /// value of this type that was built before is `wanted`. Clones share it, and it is freed with the last of them.
    ///
    /// It belongs to the numbers and not to the shape: a tensor and its [`reshape`](Tensor::reshape) share it, too.
    ///
    /// # Errors
    /// Those of `build`.
    pub fn derived<K: Send + Sync + 'static>(
        &self,
        wanted: impl Fn(&K) -> bool,
        build: impl FnOnce() -> Result<K>,
    ) -> Result<Arc<K>> {
        self.data.derived.get(wanted, build)
    }

    /// The name of this value.
    pub fn id(&self) -> Id {
        self.id
    }

    /// The same numbers, wanting a gradient.
    pub fn trainable(mut self) -> Self {
        self.wants_gradient = true;
        self
    }

    /// Whether a gradient of this tensor is wanted.
    pub fn wants_gradient(&self) -> bool {
        self.wants_gradient
    }

    /// The same tensor with what is computed from it recorded on `tape`.
    pub fn on(&self, tape: &Tape) -> Self {
        Tensor { tape: Some(tape.clone()), ..self.clone() }
    }

    /// The tape that this tensor is on.
    pub fn tape(&self) -> Option<&Tape> {
        self.tape.as_ref()
    }

    /// The same tensor on no tape, still wanting a gradient if it did.
    pub(crate) fn off_tape(&self) -> Self {
        Tensor { tape: None, ..self.clone() }
    }

    /// The same numbers as a constant: on no tape, wanting no gradient.
    pub fn detached(&self) -> Self {
        Tensor { tape: None, wants_gradient: false, ..self.clone() }
    }

    pub(crate) fn set_recording(&mut self, tape: Option<Tape>, wants_gradient: bool) {
        self.tape = tape;
        self.wants_gradient = wants_gradient;
    }

    /// The numbers in host memory, without a copy.
    ///
    /// # Errors
    /// [`Error::DType`] where they are not of type `T`, [`Error::Device`] where they are not on the CPU.
    pub fn as_slice<T: Element>(&self) -> Result<&[T]> {
        match self.buffer() {
            Buffer::Cpu(b) => b.as_slice().ok_or(Error::DType {
                op: "as_slice",
                found: self.dtype(),
                expected: std::any::type_name::<T>(),
            }),
            Buffer::Cuda(b) => Err(Error::Device(format!(
                "the numbers are on {}; copy them with Tensor::to(&Device::Cpu)",
                b.device().name()
            ))),
        }
    }

    /// A copy of the numbers in host memory, wherever they are.
    ///
    /// # Errors
    /// [`Error::DType`] where they are not of type `T`.
    pub fn to_vec<T: Element>(&self) -> Result<Vec<T>> {
        Ok(self.to(&Device::Cpu)?.as_slice()?.to_vec())
    }

    /// The number of a tensor that holds exactly one.
    ///
    /// # Errors
    /// [`Error::Argument`] where it holds another count.
    pub fn item(&self) -> Result<f64> {
        if self.shape.count() != 1 {
            return Err(Error::argument(
                "item",
                format!("shape {:?} does not hold exactly one number", self.shape),
            ));
        }
        Ok(self.to(&Device::Cpu)?.cast(DType::F64)?.to_vec::<f64>()?[0])
    }

    /// The same numbers on `device`, off any tape; without a copy where they are there already.
    ///
    /// # Errors
    /// [`Error::Memory`] or [`Error::Device`] where the copy fails.
    pub fn to(&self, device: &Device) -> Result<Self> {
        if self.device() == *device {
            return Ok(self.off_tape());
        }
        let data = match (self.buffer(), device) {
            (Buffer::Cpu(b), Device::Cpu) => Buffer::Cpu(b.cast(b.dtype())?),
            (Buffer::Cpu(b), Device::Cuda(cuda)) => Buffer::Cuda(CudaBuffer::upload(cuda, b)?),
            (Buffer::Cuda(b), Device::Cpu) => Buffer::Cpu(b.download()?),
            // From one GPU to another, by way of the host.
            (Buffer::Cuda(b), Device::Cuda(cuda)) => Buffer::Cuda(CudaBuffer::upload(cuda, &b.download()?)?),
        };
        Ok(Tensor { data: Data::new(data), tape: None, ..self.clone() })
    }

    /// The same numbers rounded to another type. Recorded on the tape, if there is one: the gradient is rounded to this
    /// type in turn. Integers want no gradient.
    ///
    /// # Errors
    /// [`Error::Memory`]; [`Error::DType`] on a GPU for types other than f32, f16 and bf16.
    pub fn cast(&self, dtype: DType) -> Result<Self> {
        if dtype == self.dtype() {
            return Ok(self.clone());
        }
        let data = match self.buffer() {
            Buffer::Cpu(b) => Buffer::Cpu(b.cast(dtype)?),
            Buffer::Cuda(b) => Buffer::Cuda(b.cast(dtype)?),
        };
        let mut y = Self::wrap(self.shape, data);
        y.wants_gradient = self.wants_gradient && dtype.is_real();
        y.tape = self.tape.clone();
        if let Some(tape) = self.tape.as_ref().filter(|_| y.wants_gradient) {
            let (id, before) = (self.id, self.dtype());
            tape.record(y.id, move |grad| Ok(vec![(id, grad.cast(before)?)]));
        }
        Ok(y)
    }

    /// The same numbers in the same order with other extents. Recorded on the tape, if there is one.
    ///
    /// # Errors
    /// [`Error::Count`] where the element counts differ.
    pub fn reshape(&self, dims: &[usize]) -> Result<Self> {
        let shape = Shape::new(dims)?;
        if shape.count() != self.shape.count() {
            return Err(Error::Count { given: self.shape.count(), shape });
        }
        let mut y = Tensor { id: Id::fresh(), shape, ..self.clone() };
        if let Some(tape) = self.tape.as_ref().filter(|_| self.wants_gradient) {
            let (id, before) = (self.id, self.shape);
            tape.record(y.id, move |grad| Ok(vec![(id, grad.reshape(before.dims())?)]));
        } else {
            y.tape = self.tape.clone();
        }
        Ok(y)
    }

    /// The numbers to write to, on the CPU. Where other tensors share them they are copied first. The value gets a new
    /// [`Id`], so that nothing cached for the old one is used for the new one.
    ///
    /// # Errors
    /// As for [`Tensor::as_slice`].
    pub fn as_mut_slice<T: Element>(&mut self) -> Result<&mut [T]> {
        self.as_slice::<T>()?;
        match self.buffer_mut()? {
            Buffer::Cpu(b) => Ok(b.as_mut_slice().unwrap_or_default()),
            Buffer::Cuda(_) => Err(Error::Device("the numbers to be written are not in host memory".into())),
        }
    }

    /// The buffer to write to, on any device, copied first where other tensors share it. As for
    /// [`Tensor::as_mut_slice`], the value gets a new [`Id`].
    ///
    /// # Errors
    /// [`Error::Memory`] where it cannot be copied.
    pub fn buffer_mut(&mut self) -> Result<&mut Buffer> {
        self.id = Id::fresh();
        self.own()
    }

    /// The buffer to write to, copied first where other tensors share it.
    fn own(&mut self) -> Result<&mut Buffer> {
        if Arc::get_mut(&mut self.data).is_none() {
            let copy = match self.buffer() {
                Buffer::Cpu(b) => Buffer::Cpu(b.cast(b.dtype())?),
                Buffer::Cuda(b) => Buffer::Cuda(b.copy()?),
            };
            self.data = Data::new(copy);
        }
        let data = Arc::get_mut(&mut self.data)
            .ok_or(Error::Gradient("a tensor's numbers were shared while being written"))?;
        data.derived.clear();
        Ok(&mut data.buffer)
    }

    /// `self += other` for gradients, in place where nothing else holds the numbers.
    pub(crate) fn accumulate(mut self, other: &Tensor) -> Result<Self> {
        self.own()?.accumulate(&other.data.buffer)?;
        Ok(self)
    }

    /// The buffer, where no other tensor shares it.
    pub(crate) fn into_buffer(self) -> Option<Buffer> {
        Arc::into_inner(self.data).map(|data| data.buffer)
    }

    /// Whether no other tensor shares the numbers.
    pub(crate) fn is_sole_owner(&self) -> bool {
        Arc::strong_count(&self.data) == 1
    }
}

impl fmt::Debug for Tensor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Tensor {:?} {:?} on {:?}", self.shape, self.dtype(), self.device())
    }
}

impl<'a> From<&'a Tensor> for Cow<'a, Tensor> {
    fn from(t: &'a Tensor) -> Self {
        Cow::Borrowed(t)
    }
}

impl From<Tensor> for Cow<'_, Tensor> {
    fn from(t: Tensor) -> Self {
        Cow::Owned(t)
    }
}
