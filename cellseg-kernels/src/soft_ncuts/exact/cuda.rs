//! The form on a GPU: launch shapes and arguments of `exact.cu`.

use super::{
    super::{
        NAME, SoftNCuts,
        cuda::{LOG_2_OF_E, Parts, THREADS, check_shared, end},
        geometry::Geometry,
    },
    Exact,
};
use crate::{
    sizes::{blocks, few_blocks, int, ints, tensor},
    walk::on_gpu,
};
use cellseg_core::{
    DType, Kernel, Result, Shape, Tensor,
    cuda::{Arguments, Cuda, CudaBuffer, Launch, Source, Value},
    cuda_source,
};
use std::sync::Arc;

const KERNELS: Source = cuda_source!("soft_ncuts/exact/exact.cu");

/// Voxels of a tile along x and along y.
const SIDE: usize = 32;
/// The radius that a kernel is compiled for: CellSeg3D's.
const USUAL_RADIUS: usize = 2;

/// Bytes of shared memory that `pair_sums` has beside those of the launch, at most.
const STATIC: usize = 1024;

/// What the forward pass leaves on the device for the backward pass.
pub(crate) struct Around {
    /// `sum_j w_ij p_k(j)`: `[n, d, h, w, k]`.
    within: Tensor,
    /// `sum_j w_ij`: `[n, d, h, w]`.
    degree: Tensor,
    /// The gradient's coefficients of the two, `[n, 2, k]`.
    coefficients: Tensor,
}

/// The arguments of the kernels.
#[repr(C)]
#[derive(Clone, Copy)]
struct Pairs {
    n: i32,
    d: i32,
    h: i32,
    w: i32,
    k: i32,
    c: i32,
    radius: [i32; 3],
    recording: i32,
    near: f32,
    scale: f32,
}

// SAFETY: a `repr(C)` struct of numbers, the same as in `exact.cu`.
unsafe impl Value for Pairs {}

impl Pairs {
    fn new(settings: &SoftNCuts, geometry: &Geometry, recording: bool) -> Result<Self> {
        let Geometry { n, d, h, w, k, c, reach } = *geometry;
        Ok(Pairs {
            n: int(NAME, n)?,
            d: int(NAME, d)?,
            h: int(NAME, h)?,
            w: int(NAME, w)?,
            k: int(NAME, k)?,
            c: int(NAME, c)?,
            radius: ints(NAME, reach)?,
            recording: i32::from(recording),
            near: (LOG_2_OF_E * settings.sigma_space.powi(-2)) as f32,
            scale: (LOG_2_OF_E.sqrt() / settings.sigma_intensity) as f32,
        })
    }
}

impl Exact {
    pub(super) fn on_gpu(
        &self,
        device: &Arc<Cuda>,
        shapes: [Shape; 2],
        [probabilities, image]: [&CudaBuffer; 2],
        out: &mut CudaBuffer,
        recording: bool,
    ) -> Result<Option<Around>> {
        let geometry = Geometry::new(&self.0, shapes)?;
        let Geometry { n, d, h, w, k, c, .. } = geometry;
        let usual = c == 1 && self.0.radius == USUAL_RADIUS;
        let [channels_name, radius_name] = if usual { ["1", "2"] } else { ["0", "0"] };
        // One class has the place of a second one beside it; kernels for windows of any size hold four.
        let (classes, classes_name) = match k {
            ..=2 if usual => (2, "2"),
            5.. if usual => (8, "8"),
            _ => (4, "4"),
        };
        let [_, ry, rx] = if usual { [USUAL_RADIUS; 3] } else { geometry.reach };
        let numbers = (SIDE + 2 * ry) * (SIDE + 2 * rx) * (c + classes);
        // Two planes, one read while the other is worked on.
        let shared = 2 * numbers * size_of::<f32>();
        check_shared(device, &geometry, shared + STATIC)?;

        let parts = d * h.div_ceil(SIDE) * w.div_ceil(SIDE);
        let mut sums = CudaBuffer::new(device, DType::F64, n * parts * 2 * k)?;
        let mut kept = if recording {
            let room = |count| CudaBuffer::new(device, DType::F32, count);
            Some((room(shapes[0].count())?, room(n * d * h * w)?))
        } else {
            None
        };
        let real = Cuda::real(NAME, probabilities.dtype())?;
        let launch = Launch {
            source: &KERNELS,
            defines: &[
                ("REAL", real),
                ("CLASSES", classes_name),
                ("CHANNELS", channels_name),
                ("RADIUS", radius_name),
            ],
            kernel: "pair_sums",
            grid: [blocks(NAME, &[n * parts * k.div_ceil(classes)])?, 1, 1],
            block: THREADS as u32,
            shared,
        };
        let arguments = Arguments::new().input(probabilities).input(image);
        let arguments = match &mut kept {
            Some((within, degree)) => arguments.output(within).output(degree),
            None => arguments.optional(None).optional(None),
        };
        let arguments = arguments.output(&mut sums).value(Pairs::new(&self.0, &geometry, recording)?);
        // SAFETY: the buffers have the shapes that the kernel states; those that may be absent are written only where
        // `recording` says so.
        unsafe { device.launch(launch, arguments)? };
        let parts = Parts { sums: &sums, parts, quantities: 2, channels: 0, masses: None, steepness: 0.0 };
        let coefficients = end(device, &geometry, &parts, out)?;
        let Some((within, degree)) = kept else { return Ok(None) };
        let within = tensor(shapes[0].dims(), within)?;
        Ok(Some(Around { within, degree: tensor(&[n, d, h, w], degree)?, coefficients }))
    }
}

/// The gradient of the probabilities from the gradient of the loss.
#[derive(Clone)]
pub(super) struct GradientOnGpu {
    pub(super) settings: SoftNCuts,
    /// The shapes of the probabilities and of the image.
    pub(super) shapes: [Shape; 2],
    pub(super) around: Arc<Around>,
}

impl Kernel<1> for GradientOnGpu {
    const NAME: &'static str = "soft_ncuts gradient";
    type Aux = ();

    fn shape(&self, _: [Shape; 1]) -> Result<Shape> {
        Ok(self.shapes[0])
    }

    fn cuda(
        &self,
        device: &Arc<Cuda>,
        _: [Shape; 1],
        [grad]: [&CudaBuffer; 1],
        out: &mut CudaBuffer,
        _: bool,
    ) -> Result<()> {
        let geometry = Geometry::new(&self.settings, self.shapes)?;
        let Geometry { n, d, h, w, .. } = geometry;
        let launch = Launch {
            source: &KERNELS,
            // Neither the window nor the number of classes matters to this kernel: those of the usual case.
            defines: &[
                ("REAL", Cuda::real(Self::NAME, out.dtype())?),
                ("CLASSES", "2"),
                ("CHANNELS", "1"),
                ("RADIUS", "2"),
            ],
            kernel: "combine",
            grid: [blocks(NAME, &[(d * h * w).div_ceil(THREADS)])?, few_blocks(NAME, n)?, 1],
            block: THREADS as u32,
            shared: 0,
        };
        let arguments = Arguments::new()
            .input(grad)
            .input(on_gpu(NAME, &self.around.within)?)
            .input(on_gpu(NAME, &self.around.degree)?)
            .input(on_gpu(NAME, &self.around.coefficients)?)
            .output(out)
            .value(Pairs::new(&self.settings, &geometry, true)?);
        // SAFETY: the buffers have the shapes that the kernel states.
        unsafe { device.launch(launch, arguments) }
    }
}
