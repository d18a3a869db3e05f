//! Launches of the weight gradient.

use super::{
    super::{geometry::Direction, precision::Precision, weight_gradient::Problem},
    Algorithm, Demand,
    geometry::LinkAxis,
    sums::PLAIN,
    tile::{BLOCKS, MatrixTile, PlainTile},
    voxels,
};
use crate::{
    reduce::cuda::sum_middle,
    sizes::{blocks, int},
};
use cellseg_core::{
    DType, Result,
    cuda::{Arguments, Cuda, CudaBuffer, Launch, Source, Value},
    cuda_source,
};

const MATRIX: Source = cuda_source!("conv3d/matrix_weight_gradient.cu");

/// How the two channels of each tap lie in the result.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Order {
    /// `[fine channel, coarse channel]`: the kernel of a convolution.
    FineCoarse,
    /// `[coarse channel, fine channel]`: the kernel of a transposed convolution.
    CoarseFine,
}

/// `MatrixWeightGradient` and `PlainWeightGradient` of the kernels, which count voxels in 32 and in 64 bits.
#[repr(C)]
#[derive(Clone, Copy)]
struct WeightGradient<Voxels> {
    axes: [LinkAxis; 3],
    voxels: Voxels,
    part: Voxels,
    fine_channels: i32,
    coarse_channels: i32,
    tiles_m: i32,
    tiles_n: i32,
    transposed: i32,
}
// SAFETY: a `repr(C)` struct of numbers, with the fields of the device's `MatrixWeightGradient`.
unsafe impl Value for WeightGradient<i32> {}
// SAFETY: a `repr(C)` struct of numbers, with the fields of the device's `PlainWeightGradient`.
unsafe impl Value for WeightGradient<i64> {}

/// `out = sum over links of x * g` for each tap, fine and coarse channel, `x` on the fine voxels and `g` on the coarse
/// ones: what `weight_gradient::weight_gradient` computes on the CPU.
///
/// # Errors
/// Sizes that a launch cannot count; memory for the parts; those of the device.
pub(crate) fn weight_gradient(
    op: &'static str,
    problem: &Problem,
    precision: Precision,
    [x, g]: [&CudaBuffer; 2],
    order: Order,
    out: &mut CudaBuffer,
) -> Result<()> {
    if out.is_empty() {
        return Ok(());
    }
    let device = out.device().clone();
    let (axes, direction, dtype) = (&problem.axes, Direction::ToCoarse, x.dtype());
    let Problem { fine_channels, coarse_channels, .. } = *problem;
    let both = voxels(problem.batch, axes, direction);
    let [coarse, _] = both;
    let taps = axes.iter().map(|a| a.kernel).product::<usize>();
    let rows = taps.saturating_mul(fine_channels);
    int(op, rows)?;
    let demand = Demand { dtype, precision, axes, channels: [fine_channels, coarse_channels], voxels: both };
    let algorithm = demand.algorithm(&device);
    let matrix = MatrixTile::of_many(rows, coarse_channels);
    let plain = PlainTile::of(rows, coarse_channels);
    let (tile_rows, tile_columns) = match algorithm {
        Algorithm::Matrix => (matrix.rows(), matrix.columns()),
        Algorithm::Plain => (plain.rows, plain.columns),
    };
    let [tiles_m, tiles_n] = [rows.div_ceil(tile_rows), coarse_channels.div_ceil(tile_columns)];
    let (parts, part) = parts(coarse, tiles_m * tiles_n);
    let mut sums = CudaBuffer::new(&device, DType::F32, parts * rows * coarse_channels)?;
    let gradient = WeightGradient {
        axes: axes.each_ref().map(|a| LinkAxis::new(a, direction)),
        voxels: coarse as i64,
        part: part as i64,
        fine_channels: int(op, fine_channels)?,
        coarse_channels: int(op, coarse_channels)?,
        tiles_m: int(op, tiles_m)?,
        tiles_n: int(op, tiles_n)?,
        transposed: i32::from(order == Order::CoarseFine),
    };
    let grid = [blocks(op, &[parts, tiles_m, tiles_n])?, 1, 1];
    let mut defines = vec![("REAL", Cuda::real(op, dtype)?)];
    let arguments = Arguments::new().output(&mut sums).input(x).input(g);
    let (launch, arguments) = match algorithm {
        Algorithm::Matrix => {
            defines.extend(matrix.defines());
            let shared = matrix.shared_for_weight_gradient(dtype);
            let (kernel, block) = ("conv3d_matrix_weight_gradient", MatrixTile::THREADS as u32);
            let launch = Launch { source: &MATRIX, defines: &defines, kernel, grid, block, shared };
            (launch, arguments.value(gradient.in_32_bits()))
        }
        Algorithm::Plain => {
            defines.extend(plain.defines);
            let (kernel, block) = ("conv3d_plain_weight_gradient", PlainTile::THREADS as u32);
            let launch = Launch { source: &PLAIN, defines: &defines, kernel, grid, block, shared: 0 };
            (launch, arguments.value(gradient))
        }
    };
    // SAFETY: the kernels read what the problem's extents and channels say, which the operation has checked against the
    // tensors' shapes, and write every number of the parts.
    unsafe { device.launch(launch, arguments)? };
    sum_middle(&device, &sums, [1, parts, rows * coarse_channels], 1.0, out)
}

impl WeightGradient<i64> {
    /// The same for the kernel that counts in 32 bits, which is chosen only where they are enough.
    fn in_32_bits(self) -> WeightGradient<i32> {
        let WeightGradient { axes, voxels, part, fine_channels, coarse_channels, .. } = self;
        let WeightGradient { tiles_m, tiles_n, transposed, .. } = self;
        let [voxels, part] = [voxels, part].map(|n| n as i32);
        WeightGradient { axes, voxels, part, fine_channels, coarse_channels, tiles_m, tiles_n, transposed }
    }
}

/// How many parts the voxels are summed in, and the voxels of each: so that blocks, `tiles` of them a part, keep a GPU
/// busy in full waves, but with as few parts as that takes, since each is written and read again. A function of the shapes
/// alone, because the last bits depend on it.
fn parts(voxels: usize, tiles: usize) -> (usize, usize) {
    /// Parts are whole tables of voxels.
    const GRAIN: usize = 128;
    /// The longest sum that is left to the tensor cores, whose additions round towards zero.
    const LONGEST: usize = 1 << 15;
    /// What a block costs beside its sums, in voxels.
    const START: usize = 512;
    let length = |parts: usize| voxels.div_ceil(parts).next_multiple_of(GRAIN).max(GRAIN);
    let cost = |parts: usize| (tiles * parts).div_ceil(BLOCKS) * (length(parts) + START);
    let least = voxels.div_ceil(LONGEST).max(1);
    let best = (least..least + BLOCKS).min_by_key(|&parts| cost(parts)).unwrap_or(least);
    let part = length(best);
    (voxels.div_ceil(part).max(1), part)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn parts_cover_the_voxels_and_none_is_empty(voxels in 1usize..3_000_000, tiles in 1usize..1000) {
            let (parts, part) = parts(voxels, tiles);
            prop_assert!(part <= (1 << 15) + 127, "{part} voxels are too many");
            prop_assert!((parts - 1) * part < voxels && voxels <= parts * part);
        }
    }

    #[test]
    fn the_layers_of_a_large_network_fill_a_large_gpu() {
        // Voxels of a batch of 8, and the tiles of the weights of 3x3x3 taps of 64 to 64, 128 to 128 and 256 to 256 channels.
        for (voxels, tiles) in [(8 << 18, 7), (8 << 15, 27), (8 << 12, 108)] {
            let (parts, _) = parts(voxels, tiles);
            let blocks = parts * tiles;
            let idle = blocks.next_multiple_of(BLOCKS) - blocks;
            assert!(idle * 4 <= blocks.next_multiple_of(BLOCKS), "{blocks} blocks leave {idle} idle");
        }
    }
}
