//! The form on a GPU: launch shapes and arguments of `approximate.cu`.

use super::{
    super::{
        NAME, SoftNCuts,
        cuda::{LOG_2_OF_E, Parts, THREADS, check_shared, end},
        geometry::Geometry,
    },
    Approximate, LEAST_PROBABILITY,
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

const KERNELS: Source = cuda_source!("soft_ncuts/approximate/approximate.cu");

/// Voxels that one block sums for the means, where there are few.
const CHUNK: usize = 4096;
/// The most chunks of an item: one block adds them up.
const MOST_CHUNKS: usize = 1024;
/// Rows and columns of a tile, the latter being voxels times classes.
const ROWS: usize = 8;
const COLUMNS: usize = 32;
/// Bytes of shared memory that `associations` has beside those of the launch.
const STATIC: usize = 2048;
/// Planes of a tile: few, so that a patch of 64^3 makes blocks for every multiprocessor, though each reads `2 radius` more.
const DEPTH: usize = 8;

/// What the forward pass leaves on the device for the backward pass: numbers of classes, none of voxels.
pub(crate) struct Moments {
    /// Means, rounded and what rounding left: `[n, c, k, 2]`.
    centres: Tensor,
    /// `[n, 2 + c, k]`: `a`, `b`, and the slopes of the channels.
    coefficients: Tensor,
}

/// The arguments of the kernels.
#[repr(C)]
#[derive(Clone, Copy)]
struct Volume {
    n: i32,
    d: i32,
    h: i32,
    w: i32,
    k: i32,
    c: i32,
    reach: [i32; 3],
    chunks: i32,
    tile_classes: i32,
    tile_voxels: i32,
    depth: i32,
    recording: i32,
    near: f32,
    alike: f32,
    least_probability: f32,
}

// SAFETY: a `repr(C)` struct of numbers, the same as in `approximate.cu`.
unsafe impl Value for Volume {}

/// How a batch is divided among blocks.
struct Tiling {
    volume: Volume,
    /// Tiles of an item, whatever their classes.
    parts: usize,
    /// Blocks of all tiles.
    blocks: u32,
    /// Numbers of a tile with its halo.
    tile: usize,
}

impl Tiling {
    fn new(settings: &SoftNCuts, geometry: &Geometry, recording: bool) -> Result<Self> {
        let Geometry { n, d, h, w, k, c, reach } = *geometry;
        let tile_classes = k.min(COLUMNS);
        let tile_voxels = COLUMNS / tile_classes;
        let parts = w.div_ceil(tile_voxels) * h.div_ceil(ROWS) * d.div_ceil(DEPTH);
        let volume = Volume {
            n: int(NAME, n)?,
            d: int(NAME, d)?,
            h: int(NAME, h)?,
            w: int(NAME, w)?,
            k: int(NAME, k)?,
            c: int(NAME, c)?,
            reach: ints(NAME, reach)?,
            chunks: int(NAME, (d * h * w).div_ceil(CHUNK).min(MOST_CHUNKS))?,
            tile_classes: int(NAME, tile_classes)?,
            tile_voxels: int(NAME, tile_voxels)?,
            depth: int(NAME, DEPTH)?,
            recording: i32::from(recording),
            near: (LOG_2_OF_E * 0.5 * settings.sigma_space.powi(-2)) as f32,
            alike: (LOG_2_OF_E * settings.sigma_intensity.powi(-2)) as f32,
            least_probability: LEAST_PROBABILITY as f32,
        };
        let tile = (ROWS + 2 * reach[1]) * (tile_voxels + 2 * reach[2]) * tile_classes;
        Ok(Tiling { volume, parts, blocks: blocks(NAME, &[n * parts * k.div_ceil(tile_classes)])?, tile })
    }

    /// Bytes of shared memory: the window's factors; and for each of `smoothed` quantities its tile, the same after the sum
    /// along x, and the last planes; and `slopes` numbers a thread.
    fn shared(&self, geometry: &Geometry, smoothed: usize, slopes: usize) -> usize {
        let [z, y, x] = geometry.reach;
        let each = self.tile + (ROWS + 2 * y) * COLUMNS + (2 * z + 1) * THREADS;
        size_of::<f32>() * (2 * (z + y + x) + 3 + smoothed * each + slopes * THREADS)
    }
}

impl Approximate {
    pub(super) fn on_gpu(
        &self,
        device: &Arc<Cuda>,
        shapes: [Shape; 2],
        [probabilities, image]: [&CudaBuffer; 2],
        out: &mut CudaBuffer,
        recording: bool,
    ) -> Result<Option<Moments>> {
        let geometry = Geometry::new(&self.0, shapes)?;
        let Geometry { n, k, c, .. } = geometry;
        let tiling = Tiling::new(&self.0, &geometry, recording)?;
        let volume = tiling.volume;
        let channels = if recording { c } else { 0 };
        let shared = tiling.shared(&geometry, 1, 2 * channels);
        check_shared(device, &geometry, shared + STATIC)?;

        let chunks = volume.chunks.cast_unsigned();
        let mut sums = CudaBuffer::new(device, DType::F64, n * chunks as usize * (1 + c) * k)?;
        let launch = Launch {
            source: &KERNELS,
            defines: &[("REAL", Cuda::real(NAME, probabilities.dtype())?)],
            kernel: "mean_sums",
            grid: [chunks, few_blocks(NAME, n)?, few_blocks(NAME, k.div_ceil(THREADS) * c)?],
            block: THREADS as u32,
            shared: 0,
        };
        let arguments = Arguments::new().input(probabilities).input(image).output(&mut sums).value(volume);
        // SAFETY: the buffers have the shapes that the kernel states, here and below.
        unsafe { device.launch(launch, arguments)? };
        let mut centres = CudaBuffer::new(device, DType::F32, n * c * k * 2)?;
        let mut masses = CudaBuffer::new(device, DType::F64, n * k)?;
        let of_means =
            Launch { kernel: "means", grid: [blocks(NAME, &[k])?, few_blocks(NAME, n)?, 1], ..launch };
        let arguments = Arguments::new().input(&sums).output(&mut centres).output(&mut masses).value(volume);
        // SAFETY: as above.
        unsafe { device.launch(of_means, arguments)? };

        let quantities = 2 + 2 * channels;
        let mut sums = CudaBuffer::new(device, DType::F64, n * tiling.parts * quantities * k)?;
        let launch = Launch { kernel: "associations", grid: [tiling.blocks, 1, 1], shared, ..launch };
        let arguments = Arguments::new().input(probabilities).input(image).input(&centres);
        // SAFETY: as above.
        unsafe { device.launch(launch, arguments.output(&mut sums).value(volume))? };
        let parts = Parts {
            sums: &sums,
            parts: tiling.parts,
            quantities,
            channels,
            masses: Some(&masses),
            steepness: 4.0 / self.0.sigma_intensity.powi(2),
        };
        let coefficients = end(device, &geometry, &parts, out)?;
        if !recording {
            return Ok(None);
        }
        Ok(Some(Moments { centres: tensor(&[n, c, k, 2], centres)?, coefficients }))
    }
}

/// The gradient of the probabilities from them, the image and the gradient of the loss. What was smoothed in the forward
/// pass is smoothed again, so that no volume is kept between the two.
#[derive(Clone)]
pub(super) struct GradientOnGpu {
    pub(super) settings: SoftNCuts,
    pub(super) moments: Arc<Moments>,
}

impl Kernel<3> for GradientOnGpu {
    const NAME: &'static str = "soft_ncuts gradient";
    type Aux = ();

    fn shape(&self, [probabilities, ..]: [Shape; 3]) -> Result<Shape> {
        Ok(probabilities)
    }

    fn cuda(
        &self,
        device: &Arc<Cuda>,
        [probabilities, image, _]: [Shape; 3],
        inputs: [&CudaBuffer; 3],
        out: &mut CudaBuffer,
        _: bool,
    ) -> Result<()> {
        let geometry = Geometry::new(&self.settings, [probabilities, image])?;
        let tiling = Tiling::new(&self.settings, &geometry, true)?;
        let shared = tiling.shared(&geometry, 2, 0);
        check_shared(device, &geometry, shared)?;
        let launch = Launch {
            source: &KERNELS,
            defines: &[("REAL", Cuda::real(Self::NAME, out.dtype())?)],
            kernel: "gradient",
            grid: [tiling.blocks, 1, 1],
            block: THREADS as u32,
            shared,
        };
        let arguments = inputs.into_iter().fold(Arguments::new(), Arguments::input);
        let arguments = arguments
            .input(on_gpu(NAME, &self.moments.centres)?)
            .input(on_gpu(NAME, &self.moments.coefficients)?)
            .output(out)
            .value(tiling.volume);
        // SAFETY: the buffers have the shapes that the kernel states.
        unsafe { device.launch(launch, arguments) }
    }
}
