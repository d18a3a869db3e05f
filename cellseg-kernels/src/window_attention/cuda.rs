//! Window attention on a GPU: which kernels, and their launch shapes and arguments.

use super::{WindowAttention, layout::Layout, windows::Windows};
use crate::{
    conv3d::Precision,
    sizes::{blocks, few_blocks, int, ints, tensor},
    walk::{on_gpu, walk},
};
use cellseg_core::{
    DType, Error, Result, Tensor,
    cuda::{Arguments, Cuda, CudaBuffer, Launch, Source, Value},
    cuda_source,
};
use std::{f64::consts::LOG2_E, sync::Arc};

const NAME: &str = "window_attention";

const TENSOR_CORES: Source = cuda_source!("window_attention/attention.cu");
const PLAIN: Source = cuda_source!("window_attention/plain.cu");
const TABLE_GRADIENT: Source = cuda_source!("window_attention/table_gradient.cu");

/// Tokens that a block of the tensor cores' kernels has as rows.
const ROWS: usize = 128;
/// Rows of a block of the plain kernels, one a warp.
const PLAIN_ROWS: usize = 4;
/// Tokens along each side of a block's pairs in the plain gradient of the bias.
const PLAIN_SIDE: usize = 16;
/// Blocks that the windows are shared out for in the gradient of the bias, and the most shares: each takes memory for the
/// pairs of a window's tokens.
const BIAS_BLOCKS: usize = 512;
const MOST_SHARES: usize = 16;

/// The arguments of all kernels.
#[repr(C)]
#[derive(Clone, Copy)]
struct Geometry {
    windows: i32,
    tokens: i32,
    heads: i32,
    dim: i32,
    scale: f32,
    gradient_scale: f32,
    differences: i32,
    table_h: i32,
    table_w: i32,
    centre: i32,
    masked: i32,
    grid: [i32; 3],
    window: [i32; 3],
    shift: [i32; 3],
    shares: i32,
}

// SAFETY: a `repr(C)` struct of numbers, the same as `WindowAttention` in `windows.cuh`.
unsafe impl Value for Geometry {}

/// A pass over the windows.
#[derive(Clone, Copy, PartialEq)]
enum Pass {
    Forward,
    Query,
    KeyValue,
    Bias,
}

/// How the passes of one attention are launched.
pub(super) struct Plan<'a> {
    device: &'a Arc<Cuda>,
    layout: Layout,
    geometry: Geometry,
    real: &'static str,
    /// The numbers that a head is padded to on tensor cores; none for the plain kernels.
    padded: Option<Padded>,
}

/// A head of the tensor cores' kernels.
#[derive(Clone, Copy)]
struct Padded {
    dim: usize,
    name: &'static str,
    /// Bytes of a number.
    size: usize,
    /// Numbers of the bias table of a head.
    table: usize,
}

impl Padded {
    /// Tokens that a block takes at a time on the other side: `*_COLUMNS` of `attention.cu`.
    fn columns(self, pass: Pass) -> usize {
        match pass {
            Pass::Forward if self.size * self.dim > 64 => 32,
            Pass::Forward => 64,
            Pass::Query | Pass::KeyValue if self.size == 4 && self.dim > 16 => 16,
            Pass::Query | Pass::KeyValue | Pass::Bias => 32,
        }
    }

    /// Bytes of shared memory.
    fn shared(self, pass: Pass) -> usize {
        let columns = self.columns(pass);
        // Rows of one or two operands, columns of two, once or twice; tokens, moments, or means beside them.
        let (tokens, beside) = match pass {
            Pass::Forward => (ROWS + 4 * columns, 2 * columns * 8),
            Pass::Query => (2 * ROWS + 4 * columns, 2 * columns * 8 + ROWS * 4),
            Pass::KeyValue => (2 * ROWS + 4 * columns, 2 * columns * 16),
            Pass::Bias => (2 * ROWS + 2 * columns, columns * 8),
        };
        tokens * (self.dim + 8) * self.size + beside + self.table * 4
    }
}

impl<'a> Plan<'a> {
    pub(super) fn new(
        device: &'a Arc<Cuda>,
        settings: &WindowAttention,
        layout: Layout,
        dtype: DType,
        has_table: bool,
    ) -> Result<Self> {
        let [_, h, w] = settings.window;
        let differences = if has_table { settings.window.iter().map(|w| 2 * w - 1).product() } else { 0 };
        let scale = settings.scale.unwrap_or(1.0 / (layout.dim as f64).sqrt());
        let windows = settings.regions.as_deref().map(|regions| regions.windows_cut());
        let [grid, window, shift] = windows.map_or([[1; 3]; 3], |w| [w.grid(), w.window(), w.shift()]);
        let geometry = Geometry {
            windows: int(NAME, layout.windows)?,
            tokens: int(NAME, layout.tokens)?,
            heads: int(NAME, layout.heads)?,
            dim: int(NAME, layout.dim)?,
            scale: (scale * LOG2_E) as f32,
            gradient_scale: scale as f32,
            differences: int(NAME, differences)?,
            table_h: int(NAME, h)?,
            table_w: int(NAME, w)?,
            // The difference zero is in the middle of the table.
            centre: int(NAME, differences / 2)?,
            masked: i32::from(windows.is_some()),
            grid: ints(NAME, grid)?,
            window: ints(NAME, window)?,
            shift: ints(NAME, shift)?,
            shares: 1,
        };
        let strict = dtype == DType::F32 && Precision::default() == Precision::Strict;
        let of = |(dim, name)| Padded { dim, name, size: dtype.size(), table: differences.max(1) };
        let padded = [(16, "16"), (32, "32"), (64, "64")].map(of).into_iter().find(|p| layout.dim <= p.dim);
        let fits = |p: &Padded| {
            [Pass::Forward, Pass::Query, Pass::KeyValue, Pass::Bias]
                .iter()
                .all(|pass| p.shared(*pass) <= device.shared_per_block())
        };
        let padded = padded.filter(|p| !strict && device.capability() >= (8, 0) && fits(p));
        Ok(Plan { device, layout, geometry, real: Cuda::real(NAME, dtype)?, padded })
    }

    /// Launches a pass with these arguments before the geometry.
    ///
    /// # Safety
    /// The arguments are those of the pass's kernels, of the shapes that they state.
    unsafe fn launch(&self, pass: Pass, geometry: Geometry, arguments: Arguments) -> Result<()> {
        let Layout { windows, tokens, heads, dim } = self.layout;
        let defines = [("REAL", self.real), ("DIM", self.padded.map_or("", |p| p.name))];
        let launch = if let Some(padded) = self.padded {
            let rows = tokens.div_ceil(ROWS);
            let (kernel, counts) = match pass {
                Pass::Forward => ("forward", [rows, heads, windows, 1]),
                Pass::Query => ("query_gradient", [rows, heads, windows, 1]),
                Pass::KeyValue => ("key_value_gradient", [rows, heads, windows, 1]),
                Pass::Bias => {
                    let columns = tokens.div_ceil(padded.columns(pass));
                    ("bias_gradient", [columns, rows, heads, geometry.shares as usize])
                }
            };
            let shared = padded.shared(pass);
            let (source, defines) = (&TENSOR_CORES, &defines[..]);
            Launch { source, defines, kernel, grid: [blocks(NAME, &counts)?, 1, 1], block: 256, shared }
        } else {
            let (kernel, count) = match pass {
                Pass::Forward => ("plain_forward", windows * heads * tokens),
                Pass::Query => ("plain_query_gradient", windows * heads * tokens),
                Pass::KeyValue => ("plain_key_value_gradient", windows * heads * tokens),
                Pass::Bias => ("plain_bias_gradient", 0),
            };
            let side = tokens.div_ceil(PLAIN_SIDE);
            let (counts, block, shared) = if pass == Pass::Bias {
                ([side, side, heads, geometry.shares as usize], PLAIN_SIDE * PLAIN_SIDE, 0)
            } else {
                let shared = PLAIN_ROWS * (4 * dim + 64) * size_of::<f32>();
                ([count.div_ceil(PLAIN_ROWS), 1, 1, 1], 32 * PLAIN_ROWS, shared)
            };
            let defines = &defines[..1];
            let grid = [blocks(NAME, &counts)?, 1, 1];
            Launch { source: &PLAIN, defines, kernel, grid, block: block as u32, shared }
        };
        if launch.shared > self.device.shared_per_block() {
            let why = format!(
                "heads of {dim} numbers take {} bytes of shared memory where {} has {}; use more heads or the CPU",
                launch.shared,
                self.device.name(),
                self.device.shared_per_block()
            );
            return Err(Error::argument(NAME, why));
        }
        // SAFETY: the caller's promise.
        unsafe { self.device.launch(launch, arguments.value(geometry)) }
    }

    /// Computes the output, and returns the logarithms of the sums of exponentials, `[windows, heads, tokens]`.
    pub(super) fn forward(
        &self,
        qkv: &CudaBuffer,
        table: Option<&CudaBuffer>,
        out: &mut CudaBuffer,
    ) -> Result<Tensor> {
        let Layout { windows, tokens, heads, .. } = self.layout;
        let mut logarithms = CudaBuffer::new(self.device, DType::F32, windows * heads * tokens)?;
        let arguments = Arguments::new().input(qkv).optional(table).output(out).output(&mut logarithms);
        // SAFETY: the shapes were checked when the operation was asked for its own.
        unsafe { self.launch(Pass::Forward, self.geometry, arguments)? };
        tensor(&[windows, heads, tokens], logarithms)
    }

    /// Computes the gradient of `qkv`, and returns that of the table where it is wanted.
    pub(super) fn backward(
        &self,
        [qkv, grad, out]: [&CudaBuffer; 3],
        table: Option<&Tensor>,
        logarithms: &Tensor,
        of_qkv: &mut CudaBuffer,
        wants_table: bool,
    ) -> Result<Option<Tensor>> {
        let table = table.map(|t| on_gpu(NAME, t)).transpose()?;
        let logarithms = on_gpu(NAME, logarithms)?;
        let mut means = CudaBuffer::new(self.device, DType::F32, logarithms.len())?;
        let arguments = Arguments::new().input(qkv).optional(table).input(grad).input(out);
        let arguments = arguments.input(logarithms).output(&mut means).output(of_qkv);
        // SAFETY: as in `forward`; `means` has the shape of the logarithms, here and below.
        unsafe { self.launch(Pass::Query, self.geometry, arguments)? };
        let inputs = || Arguments::new().input(qkv).optional(table).input(grad).input(logarithms);
        // SAFETY: as above.
        unsafe { self.launch(Pass::KeyValue, self.geometry, inputs().input(&means).output(of_qkv))? };
        if !wants_table {
            return Ok(None);
        }

        let Layout { windows, tokens, heads, .. } = self.layout;
        let columns = self.padded.map_or(PLAIN_SIDE, |p| p.columns(Pass::Bias));
        let rows = if self.padded.is_some() { ROWS } else { PLAIN_SIDE };
        let blocks_of_share = tokens.div_ceil(columns) * tokens.div_ceil(rows) * heads;
        let shares = (BIAS_BLOCKS / blocks_of_share).clamp(1, windows.clamp(1, MOST_SHARES));
        let geometry = Geometry { shares: int(NAME, shares)?, ..self.geometry };
        let mut sums = CudaBuffer::new(self.device, DType::F32, shares * heads * tokens * tokens)?;
        // SAFETY: as above; `sums` has the shape that the kernels state.
        unsafe { self.launch(Pass::Bias, geometry, inputs().input(&means).output(&mut sums))? };
        let differences = geometry.differences as usize;
        let mut of_table = CudaBuffer::new(self.device, qkv.dtype(), differences * heads)?;
        let lines = differences / (2 * geometry.table_w as usize - 1);
        let launch = Launch {
            source: &TABLE_GRADIENT,
            defines: &[("REAL", self.real)],
            kernel: "table_gradient",
            grid: [blocks(NAME, &[lines])?, few_blocks(NAME, heads)?, 1],
            block: 128,
            shared: 0,
        };
        let arguments = Arguments::new().input(&sums).output(&mut of_table).value(geometry);
        // SAFETY: as above.
        unsafe { self.device.launch(launch, arguments)? };
        tensor(&[differences, heads], of_table).map(Some)
    }
}

/// The arguments of `partition.cu`.
#[repr(C)]
#[derive(Clone, Copy)]
struct Cut {
    count: i64,
    words: i32,
    volume: [i32; 3],
    grid: [i32; 3],
    window: [i32; 3],
    shift: [i32; 3],
}

// SAFETY: a `repr(C)` struct of numbers, the same as in `partition.cu`, whose end is padded alike.
unsafe impl Value for Cut {}

const PARTITION: Source = cuda_source!("window_attention/partition.cu");

/// Launches `partition` or `reverse` of volumes of `channels` numbers a voxel.
pub(super) fn cut(
    device: &Arc<Cuda>,
    kernel: &'static str,
    windows: &Windows,
    channels: usize,
    x: &CudaBuffer,
    y: &mut CudaBuffer,
) -> Result<()> {
    // Numbers are only moved: as words as large as a voxel is whole ones of.
    let size = x.dtype().size();
    let sizes = [(16, "quad"), (4, "u32"), (2, "u16")];
    let found = sizes.into_iter().find(|(word, _)| (channels * size).is_multiple_of(*word));
    let Some((word, name)) = found else {
        return Err(Error::DType { op: NAME, found: x.dtype(), expected: "f32, f16 or bf16" });
    };
    let count = y.len() * size / word;
    let cut = Cut {
        count: count as i64,
        words: int(NAME, channels * size / word)?,
        volume: ints(NAME, windows.volume())?,
        grid: ints(NAME, windows.grid())?,
        window: ints(NAME, windows.window())?,
        shift: ints(NAME, windows.shift())?,
    };
    let defines = [("WORD", name)];
    let launch = walk(device, &PARTITION, &defines, kernel, count);
    // SAFETY: `y` holds `count` words, and `x` those of the volumes or windows that they come from.
    unsafe { device.launch(launch, Arguments::new().input(x).output(y).value(cut)) }
}
