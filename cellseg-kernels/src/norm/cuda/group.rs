//! The normalisation of groups on a GPU: two passes over memory forward and two backward, with small kernels in between.

use crate::{
    norm::{
        gradient::{Found, Gradient},
        group::{Computed, GroupNorm, Statistics},
        settings::{Norm, Order},
    },
    pointwise::Activation,
    reduce::cuda::sum_middle,
    sizes::tensor,
    walk::{BLOCK, on_gpu, step},
};
use cellseg_core::{
    DType, Result, Shape,
    cuda::{Arguments, Cuda, CudaBuffer, Launch, Source, Value},
    cuda_source,
};
use std::sync::Arc;

const GROUP: Source = cuda_source!("norm/group.cu");
const COMBINE: Source = cuda_source!("norm/combine.cu");

const FORWARD: &str = "group_norm";
const BACKWARD: &str = "group_norm gradient";

/// Chunks of all samples together that are aimed at: several for each place for a block that a large device has. An
/// estimate, not measured.
const CHUNKS: usize = 1024;

/// The least and the most numbers of a chunk: some for each thread of a block, and so many that what is found for a chunk
/// takes a small part of the memory that the chunk does.
const CHUNK: [usize; 2] = [1 << 12, 1 << 17];

/// Threads of a warp.
const WARP: usize = 32;

/// How an array is cut up, as the kernels take it.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
struct Geometry {
    rows: i64,
    channels: i32,
    groups: i32,
    chunk: i32,
    chunks: i32,
    width: i32,
    columns: i32,
    units: i32,
}
// SAFETY: a `repr(C)` struct of numbers, the kernels' `Geometry`.
unsafe impl Value for Geometry {}

impl Geometry {
    /// Of `[n, .., c]`; it depends on the shape and the type only.
    fn new(shape: Shape, groups: usize, dtype: DType) -> Self {
        let (dims, channels) = (shape.dims(), shape.channels());
        let rows = dims[1..dims.len() - 1].iter().product::<usize>();
        let numbers = (shape.count() / CHUNKS).clamp(CHUNK[0], CHUNK[1]);
        let chunk = (numbers / channels).clamp(1, rows.max(1));
        let width = step(dtype, channels);
        let packs = channels / width;
        let tiles = packs.div_ceil(BLOCK);
        Geometry {
            rows: rows as i64,
            channels: channels as i32,
            groups: groups as i32,
            chunk: chunk as i32,
            chunks: rows.div_ceil(chunk) as i32,
            width: width as i32,
            columns: packs.div_ceil(tiles) as i32,
            units: if tiles == 1 { groups } else { channels } as i32,
        }
    }

    fn chunks(&self, samples: usize) -> usize {
        samples * self.chunks as usize
    }

    /// The blocks of a pass over memory.
    fn grid(&self, samples: usize) -> [u32; 3] {
        let tiles = (self.channels / self.width + self.columns - 1) / self.columns;
        [self.chunks(samples) as u32, tiles as u32, 1]
    }
}

/// An activation with dropout as the kernels take it.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
struct Stage {
    key: u64,
    threshold: u32,
    scale: f32,
    drops: i32,
    setting: f32,
    first: i32,
}
// SAFETY: a `repr(C)` struct of numbers, the kernels' `Stage`.
unsafe impl Value for Stage {}

impl Stage {
    fn new(norm: &Norm) -> Self {
        let stage = norm.stage();
        let first = norm.order == Order::NormLast && !stage.is_identity();
        Stage {
            key: stage.draw.map_or(0, |d| d.key),
            threshold: stage.draw.map_or(0, |d| d.threshold),
            scale: stage.draw.map_or(1.0, |d| d.scale as f32),
            drops: i32::from(stage.draw.is_some()),
            setting: stage.activation.setting(),
            first: i32::from(first),
        }
    }
}

/// What lies between the passes, as its kernels take it.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
struct Chunks {
    rows: i64,
    chunk: i32,
    chunks: i32,
    channels: i32,
    groups: i32,
    units: i32,
    eps: f32,
}
// SAFETY: a `repr(C)` struct of numbers, the kernels' `Chunks`.
unsafe impl Value for Chunks {}

impl Chunks {
    fn new(geometry: &Geometry, eps: f64) -> Self {
        let Geometry { rows, channels, groups, chunk, chunks, units, .. } = *geometry;
        Chunks { rows, chunk, chunks, channels, groups, units, eps: eps as f32 }
    }
}

/// A launch of one of the passes.
fn pass<'a>(kernel: &'a str, defines: &'a [(&'static str, &'a str)], grid: [u32; 3]) -> Launch<'a> {
    Launch { source: &GROUP, defines, kernel, grid, block: BLOCK as u32, shared: 0 }
}

/// A launch of a small kernel of so many threads.
fn small<'a>(kernel: &'a str, defines: &'a [(&'static str, &'a str)], threads: usize) -> Launch<'a> {
    let blocks = threads.div_ceil(BLOCK) as u32;
    Launch { source: &COMBINE, defines, kernel, grid: [blocks, 1, 1], block: BLOCK as u32, shared: 0 }
}

/// Adds a buffer that the kernel writes, or a null pointer.
fn maybe(arguments: Arguments, buffer: Option<&mut CudaBuffer>) -> Arguments {
    match buffer {
        Some(buffer) => arguments.output(buffer),
        None => arguments.optional(None),
    }
}

/// The normalisation of `x`, with a scale and a shift, and a residual if there are four inputs. `out` may lie in the place
/// of `x`.
pub(crate) fn forward(
    device: &Arc<Cuda>,
    op: &GroupNorm,
    shape: Shape,
    inputs: &[&CudaBuffer],
    out: &mut CudaBuffer,
    recording: bool,
) -> Result<Computed> {
    let norm = &op.norm;
    let given = match &op.statistics {
        Statistics::Given(statistics) => Some(statistics),
        Statistics::Own | Statistics::Told(_) => None,
    };
    let (samples, dtype) = (shape.dims()[0], out.dtype());
    let (geometry, stage) = (Geometry::new(shape, norm.groups, dtype), Stage::new(norm));
    let real = Cuda::real(FORWARD, dtype)?;
    let defines = [("REAL", real), ("ACTIVATION", norm.activation.kind_name())];
    let [x, gamma, beta] = [inputs[0], inputs[1], inputs[2]];
    let keeps_masks = stage.drops != 0 && (stage.first != 0 || recording);
    let packs = shape.count() / geometry.width as usize;
    let mut masks = keeps_masks.then(|| CudaBuffer::new(device, DType::U8, packs)).transpose()?;

    let grid = geometry.grid(samples);
    let units = geometry.units as usize;
    let mut parts = CudaBuffer::new(device, DType::F32, geometry.chunks(samples) * 2 * units)?;
    let drawn = masks.as_mut().filter(|_| stage.first != 0);
    let arguments = maybe(Arguments::new().output(&mut parts).input(x), drawn).value(geometry).value(stage);
    // This pass draws the masks of a stage before the norm, too.
    if given.is_none() || stage.first != 0 {
        // SAFETY: the geometry's blocks stay within `x`, within a byte for each pack, and a part for each block.
        unsafe { device.launch(pass("moments", &defines, grid), arguments)? };
    }

    let of_samples = Shape::new(&[samples, 2, norm.groups])?;
    let statistics = match given {
        Some(statistics) => statistics.clone(),
        None => {
            let mut statistics = CudaBuffer::new(device, DType::F32, of_samples.count())?;
            let arguments = Arguments::new().output(&mut statistics).input(&parts);
            let defines = [("REAL", real)];
            let launch = small("statistics", &defines, samples * norm.groups * BLOCK);
            // SAFETY: a block for each pair of numbers of `statistics`; the parts are those just found.
            unsafe { device.launch(launch, arguments.value(Chunks::new(&geometry, norm.eps)))? };
            tensor(of_samples.dims(), statistics)?
        }
    };

    let arguments = Arguments::new().output(out).input(x).input(gamma).input(beta);
    let arguments = arguments.optional(inputs.get(3).copied()).input(on_gpu(FORWARD, &statistics)?);
    let arguments = maybe(arguments, masks.as_mut()).value(geometry).value(stage);
    // SAFETY: as for the first pass; a number is read before it is written.
    unsafe { device.launch(pass("normalise", &defines, grid), arguments)? };

    Ok(Computed { statistics, masks: masks.map(|masks| tensor(&[packs], masks)).transpose()? })
}

/// The gradients from that of the output, the input, and the residual where it is needed. `out` may lie in the place of
/// the gradient.
pub(crate) fn backward(
    device: &Arc<Cuda>,
    gradient: &Gradient,
    shape: Shape,
    inputs: &[&CudaBuffer],
    out: &mut CudaBuffer,
) -> Result<Found> {
    let (norm, samples, dtype) = (&gradient.norm, shape.dims()[0], out.dtype());
    let (geometry, stage) = (Geometry::new(shape, norm.groups, dtype), Stage::new(norm));
    let real = Cuda::real(BACKWARD, dtype)?;
    let (grad, x, residual) = (inputs[0], inputs[1], inputs.get(2).copied());
    let [gamma, beta] = [on_gpu(BACKWARD, &gradient.gamma)?, on_gpu(BACKWARD, &gradient.beta)?];
    let statistics = on_gpu(BACKWARD, &gradient.computed.statistics)?;
    let masks = gradient.computed.masks.as_ref().map(|masks| on_gpu(BACKWARD, masks)).transpose()?;
    let (grid, channels) = (geometry.grid(samples), geometry.channels as usize);
    let of_chunk = |numbers: usize| CudaBuffer::new(device, DType::F32, numbers);

    let mut of_stage =
        gradient.keep_stage.then(|| CudaBuffer::new(device, dtype, shape.count())).transpose()?;
    let mut parts = of_chunk(geometry.chunks(samples) * 2 * channels)?;
    let defines = [("REAL", real), ("ACTIVATION", norm.activation.kind_name())];
    let arguments = maybe(Arguments::new().output(&mut parts), of_stage.as_mut());
    let arguments = arguments.input(grad).input(x).input(gamma).input(beta).optional(residual);
    let arguments = arguments.input(statistics).optional(masks).value(geometry).value(stage);
    // SAFETY: the geometry's blocks stay within the arrays of this shape and the bytes for their packs; a part for each.
    unsafe { device.launch(pass("gradient_sums", &defines, grid), arguments)? };

    let mut sums = of_chunk(samples * 2 * channels)?;
    sum_middle(device, &parts, [samples, geometry.chunks as usize, 2 * channels], 1.0, &mut sums)?;
    let chunks = Chunks::new(&geometry, norm.eps);
    let defines_between = [("REAL", real)];
    let mut factors = CudaBuffer::zeroed(device, DType::F32, samples * 2 * norm.groups)?;
    if !gradient.is_given {
        let arguments = Arguments::new().output(&mut factors).input(&sums).input(gamma).input(statistics);
        let launch = small("factors", &defines_between, samples * norm.groups * WARP);
        // SAFETY: a warp for each pair of factors; the sums and statistics are those of all samples.
        unsafe { device.launch(launch, arguments.value(samples as i32).value(chunks))? };
    }
    let mut of_gamma = CudaBuffer::new(device, dtype, channels)?;
    let mut of_beta = CudaBuffer::new(device, dtype, channels)?;
    let arguments = Arguments::new().output(&mut of_gamma).output(&mut of_beta).input(&sums);
    let arguments = arguments.input(statistics).value(samples as i32).value(chunks);
    // SAFETY: a thread for each channel.
    unsafe { device.launch(small("affine", &defines_between, channels), arguments)? };

    // What the first pass has kept went through the stage already.
    let through = Stage { drops: 0, first: 0, ..stage };
    let (grad, activation, stage) = match &of_stage {
        Some(of_stage) => (of_stage, Activation::None, through),
        None => (grad, norm.activation, stage),
    };
    let residual = residual.filter(|_| of_stage.is_none());
    let defines = [("REAL", real), ("ACTIVATION", activation.kind_name())];
    let arguments = Arguments::new().output(out).input(grad).input(x).input(gamma).input(beta);
    let arguments = arguments.optional(residual).input(statistics).input(&factors).optional(masks);
    // SAFETY: as for the first pass; a number is read before it is written.
    unsafe { device.launch(pass("gradient", &defines, grid), arguments.value(geometry).value(stage))? };

    Ok(Found {
        of_gamma: tensor(&[channels], of_gamma)?,
        of_beta: tensor(&[channels], of_beta)?,
        of_stage: of_stage.map(|numbers| tensor(shape.dims(), numbers)).transpose()?,
    })
}
