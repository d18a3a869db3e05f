//! Launches of the sums into voxels.

use super::{
    super::{direct::Problem, geometry::Direction, precision::Precision},
    Algorithm, Demand,
    geometry::{LinkAxis, longest_phase, phases},
    hopper::Tiling,
    matrix_sums::{self, Size},
    swap::swap,
    tile::PlainTile,
    voxels,
};
use crate::{
    pointwise::Activation,
    sizes::{blocks, int},
};
use cellseg_core::{
    Result,
    cuda::{Arguments, Cuda, CudaBuffer, Launch, Source, Value},
    cuda_source,
};

pub(super) const PLAIN: Source = cuda_source!("conv3d/plain.cu");

/// What sums into voxels are made of.
#[derive(Clone, Copy)]
pub(crate) struct Operands<'a> {
    /// `[n, d, h, w, input channels]`.
    pub(crate) x: &'a CudaBuffer,
    /// `[kd, kh, kw, input channels, output channels]`.
    pub(crate) weights: &'a CudaBuffer,
    /// The weights have their channels the other way round.
    pub(crate) transposed: bool,
    pub(crate) bias: Option<&'a CudaBuffer>,
    pub(crate) activation: Activation,
}

/// `PlainSums` of the kernels, or the greater part of `MatrixSums`, which count rows in 64 and in 32 bits.
#[repr(C)]
#[derive(Clone, Copy)]
pub(super) struct Sums<Rows> {
    axes: [LinkAxis; 3],
    rows: Rows,
    input_channels: i32,
    pub(super) output_channels: i32,
    tiles_n: i32,
    to_fine: i32,
    pub(super) activation: i32,
    pub(super) setting: f32,
}
// SAFETY: a `repr(C)` struct of numbers, with the fields of the device's `PlainSums`.
unsafe impl Value for Sums<i64> {}

impl Sums<()> {
    /// The same, with what depends on the kernel. There are fewer tiles along the columns than channels.
    pub(super) fn tiled<Rows>(self, rows: Rows, tiles_n: usize) -> Sums<Rows> {
        let Sums { axes, input_channels, output_channels, to_fine, activation, setting, .. } = self;
        let tiles_n = tiles_n as i32;
        Sums { axes, rows, input_channels, output_channels, tiles_n, to_fine, activation, setting }
    }
}

/// `out = sum over links of x * weights`, plus bias, through the activation: what `direct::sum` computes on the CPU.
///
/// # Errors
/// Sizes that a launch cannot count; those of the device.
pub(crate) fn sum(
    op: &'static str,
    problem: &Problem,
    precision: Precision,
    operands: Operands<'_>,
    out: &mut CudaBuffer,
) -> Result<()> {
    if out.is_empty() {
        return Ok(());
    }
    let Operands { x, weights, transposed, bias, activation } = operands;
    let device = out.device().clone();
    if let Some(tiling) = Tiling::of(&device, x.dtype(), problem) {
        return tiling.sum(op, problem, operands, out);
    }
    let (axes, direction, dtype) = (&problem.axes, problem.direction, x.dtype());
    let (input_channels, output_channels) = (problem.input_channels, problem.output_channels);
    let taps = axes.iter().map(|a| a.kernel).product::<usize>();
    int(op, taps.saturating_mul(input_channels))?;
    let each = axes.each_ref().map(|a| phases(a, direction));
    let phases: usize = each.iter().map(|(phases, _)| phases).product();
    let rows = problem.batch * each.iter().map(|(_, most)| most).product::<usize>();
    let sums = Sums {
        axes: axes.each_ref().map(|a| LinkAxis::new(a, direction)),
        rows: (),
        input_channels: int(op, input_channels)?,
        output_channels: int(op, output_channels)?,
        tiles_n: 0,
        to_fine: i32::from(direction == Direction::ToFine),
        activation: activation.kind(),
        setting: activation.setting(),
    };
    let swapped;
    let weights = if transposed {
        swapped = swap(op, weights, [taps, output_channels, input_channels])?;
        &swapped
    } else {
        weights
    };
    let demand = Demand {
        dtype,
        precision,
        axes,
        channels: [input_channels, output_channels],
        voxels: voxels(problem.batch, axes, direction),
    };
    match demand.algorithm(&device) {
        Algorithm::Matrix => {
            let tap = axes.each_ref().map(|a| longest_phase(a, direction)).iter().product::<usize>();
            let size = Size { rows, phases, depth: tap * input_channels };
            matrix_sums::sum(op, size, sums, Operands { weights, ..operands }, out)
        }
        Algorithm::Plain => {
            let narrow = output_channels <= PlainTile::NARROW.columns;
            let tile = if narrow { PlainTile::NARROW } else { PlainTile::SQUARE };
            let tiles_n = output_channels.div_ceil(tile.columns);
            let mut defines = vec![("REAL", Cuda::real(op, dtype)?)];
            defines.extend(tile.defines);
            let launch = Launch {
                source: &PLAIN,
                defines: &defines,
                kernel: "conv3d_plain_sums",
                grid: [blocks(op, &[phases, rows.div_ceil(tile.rows), tiles_n])?, 1, 1],
                block: PlainTile::THREADS as u32,
                shared: 0,
            };
            let arguments = Arguments::new().output(out).input(x).input(weights).optional(bias);
            // SAFETY: the kernel reads and writes what the problem's extents and channels say, which the operation has
            // checked against the tensors' shapes; `out` has no other name here.
            unsafe { device.launch(launch, arguments.value(sums.tiled(rows as i64, tiles_n))) }
        }
    }
}
