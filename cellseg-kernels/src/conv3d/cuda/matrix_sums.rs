//! Launches of the sums into voxels on the tensor cores.

use super::{
    sums::{Operands, Sums},
    tile::MatrixTile,
};
use crate::sizes::{blocks, int};
use cellseg_core::{
    DType, Result,
    cuda::{Arguments, Cuda, CudaBuffer, Launch, Source, Value},
    cuda_source,
};

const MATRIX: Source = cuda_source!("conv3d/matrix_sums.cu");
const FINISH: Source = cuda_source!("conv3d/finish_sums.cu");

/// `MatrixSums` of the kernel.
#[repr(C)]
#[derive(Clone, Copy)]
struct MatrixSums {
    sums: Sums<i32>,
    cut: DeviceCut,
}
// SAFETY: a `repr(C)` struct of numbers, with the fields of the device's struct in their order and, `DeviceCut` beginning at
// a multiple of 8 bytes, at their places.
unsafe impl Value for MatrixSums {}

/// `Cut` of the kernel.
#[repr(C)]
#[derive(Clone, Copy)]
struct DeviceCut {
    parts: i32,
    steps: i32,
    voxels: i64,
}

/// `FinishSums` of the kernel.
#[repr(C)]
#[derive(Clone, Copy)]
struct FinishSums {
    count: i64,
    parts: i32,
    channels: i32,
    activation: i32,
    setting: f32,
}
// SAFETY: a `repr(C)` struct of numbers, with the fields of the device's struct.
unsafe impl Value for FinishSums {}

/// The extents of the matrix product that sums are.
#[derive(Clone, Copy)]
pub(super) struct Size {
    /// Output voxels of the largest phase.
    pub(super) rows: usize,
    pub(super) phases: usize,
    /// Products in a sum, of the phase that has the most.
    pub(super) depth: usize,
}

/// As `sums::sum`, on the tensor cores. The weights are not transposed.
///
/// # Errors
/// Sizes that a launch cannot count; memory for parts; those of the device.
pub(super) fn sum(
    op: &'static str,
    size: Size,
    sums: Sums<()>,
    operands: Operands<'_>,
    out: &mut CudaBuffer,
) -> Result<()> {
    let Operands { x, weights, bias, .. } = operands;
    let (device, dtype, channels) = (out.device().clone(), x.dtype(), sums.output_channels as usize);
    let Size { rows, phases, .. } = size;
    let cut = Cut::of(size, channels, dtype);
    let tile = match cut.parts {
        1 => MatrixTile::of(phases * rows, channels, device.multiprocessors()),
        _ => MatrixTile::SMALL,
    };
    let tiles_n = channels.div_ceil(tile.columns());
    let real = ("REAL", Cuda::real(op, dtype)?);
    let [warp_m, warp_n, warps_n] = tile.defines();
    let launch = Launch {
        source: &MATRIX,
        defines: &[real, warp_m, warp_n, warps_n],
        kernel: "conv3d_matrix_sums",
        grid: [blocks(op, &[phases, cut.parts, rows.div_ceil(tile.rows()), tiles_n])?, 1, 1],
        block: MatrixTile::THREADS as u32,
        shared: tile.shared_for_sums(dtype),
    };
    let count = out.len();
    let mut parts = match cut.parts {
        1 => None,
        parts => Some(CudaBuffer::new(&device, DType::F32, parts * count)?),
    };
    let arguments = Arguments::new().output(out).optional(parts.as_ref());
    let arguments = arguments.input(x).input(weights).optional(bias).value(MatrixSums {
        sums: sums.tiled(int(op, rows)?, tiles_n),
        cut: DeviceCut {
            parts: cut.parts as i32,
            steps: cut.steps as i32,
            voxels: (count / channels.max(1)) as i64,
        },
    });
    // SAFETY: the kernel reads what the problem's extents and channels say, which the operation has checked against the
    // tensors' shapes, and writes every number of `out`, or of all parts; neither has another name here.
    unsafe { device.launch(launch, arguments)? };
    let Some(parts) = parts.take() else { return Ok(()) };
    let launch = Launch {
        source: &FINISH,
        defines: &[real],
        kernel: "conv3d_finish_sums",
        grid: [blocks(op, &[count.div_ceil(4 * FINISH_BLOCK)])?, 1, 1],
        block: FINISH_BLOCK as u32,
        shared: 0,
    };
    let arguments = Arguments::new().output(out).input(&parts).optional(bias).value(FinishSums {
        count: count as i64,
        parts: cut.parts as i32,
        channels: sums.output_channels,
        activation: sums.activation,
        setting: sums.setting,
    });
    // SAFETY: `parts` holds so many times the numbers of `out`, all written; the bias has a number for each channel, and
    // channels are a multiple of the four that a thread takes.
    unsafe { device.launch(launch, arguments) }
}

/// Threads of a block of `conv3d_finish_sums`, each of which makes four numbers.
const FINISH_BLOCK: usize = 256;

/// How the depth of sums is cut up among blocks, where tiles are too few to keep a GPU busy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Cut {
    parts: usize,
    /// Of the depth, of each part.
    steps: usize,
}

impl Cut {
    /// The fastest by this reckoning, which asks for the shapes alone, because the last bits depend on it. Its unit is the
    /// time in which a multiprocessor's tensor cores are done with a step of one small tile. A tile that has them for
    /// itself waits longer than that for its operands. All of its constants are estimates, not measured.
    fn of(Size { rows, phases, depth }: Size, columns: usize, dtype: DType) -> Self {
        /// Multiprocessors of an H100.
        const MULTIPROCESSORS: usize = 132;
        /// Steps that a block costs beside its own.
        const START: usize = 8;
        /// What the second kernel costs, and the bytes that memory moves in a unit.
        const FINISH: usize = 34;
        const BYTES: usize = 295_000;
        let tile = MatrixTile::SMALL;
        let steps = depth.div_ceil(MatrixTile::depth(dtype));
        let blocks = phases * rows.div_ceil(tile.rows()) * columns.div_ceil(tile.columns());
        let written = 8 * phases * rows * columns;
        let cost = |&parts: &usize| {
            let pace = (blocks * parts).div_ceil(MULTIPROCESSORS).max(2);
            let moved = if parts == 1 { 0 } else { FINISH + parts * written / BYTES };
            (steps.div_ceil(parts) + START) * pace + moved
        };
        let parts = (1..=64.min(steps.max(1))).min_by_key(cost).unwrap_or(1);
        let steps_each = steps.div_ceil(parts).max(1);
        Cut { parts: steps.div_ceil(steps_each).max(1), steps: steps_each }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conv3d::cases::WIDE_TILE_CASES;

    #[test]
    fn few_deep_sums_are_cut_up_and_many_are_not() {
        let cut = |rows, depth, columns| Cut::of(Size { rows, phases: 1, depth }, columns, DType::BF16).parts;
        // 768 channels at 2^3 and 512 at 8^3, one volume.
        assert!((10..40).contains(&cut(8, 27 * 768, 768)));
        assert!((2..8).contains(&cut(512, 27 * 512, 512)));
        // 512 channels at 8^3, eight volumes; 64 at 64^3; a single tap of 64 channels.
        assert_eq!([cut(4096, 27 * 512, 512), cut(1 << 18, 27 * 64, 64), cut(8, 64, 64)], [1; 3]);
    }

    #[test]
    fn cases_reach_wide_tiles_on_132_multiprocessors() {
        for (reached, case) in WIDE_TILE_CASES {
            let backwards = reached.contains("gradient");
            let (voxels, channels) =
                if backwards { (case.x(), case.x()[4]) } else { (case.y(), case.y()[4]) };
            let strides = if backwards { case.settings.stride } else { [1; 3] };
            let phases: usize = strides.iter().product();
            let rows = (0..3).map(|i| voxels[i + 1].div_ceil(strides[i])).product::<usize>();
            // Of the longest phase.
            let taps = (0..3).map(|i| case.kernel[i].div_ceil(strides[i])).product::<usize>();
            let depth = taps * if backwards { case.output_channels } else { case.input_channels };
            for dtype in [DType::F32, DType::BF16] {
                assert_eq!(Cut::of(Size { rows, phases, depth }, channels, dtype).parts, 1, "{reached}");
            }
            let tile = MatrixTile::of(phases * rows, channels, 132);
            let tiles = phases * rows.div_ceil(tile.rows()) * channels.div_ceil(tile.columns());
            assert!(tile.columns() == 64 && tile != MatrixTile::SMALL, "{reached}: {tile:?}");
            let found = format!("{tiles} wide tiles of matrices");
            assert!(reached.starts_with(&found), "{reached}: {found}");
        }
    }

    #[test]
    fn parts_cover_the_depth_and_none_is_empty() {
        for depth in (0..40_000).step_by(97) {
            let Cut { parts, steps } = Cut::of(Size { rows: 20, phases: 3, depth }, 40, DType::F32);
            let all = depth.div_ceil(16);
            assert!(parts * steps >= all && (parts - 1) * steps < all.max(1), "{depth}: {parts} of {steps}");
        }
    }
}
