//! Launches of the sums into voxels on Hopper's warp-group products and copy engine.

use super::{
    super::{direct::Problem, geometry::Direction},
    sums::Operands,
    swap::swap,
};
use crate::sizes::{int, ints};
use cellseg_core::{
    DType, Result,
    cuda::{Arguments, Cuda, CudaBuffer, Launch, Source, TensorMap, Value},
    cuda_source,
};

const SUMS: Source = cuda_source!("conv3d/hopper.cu");

/// Output voxels of a tile.
const BOX: [usize; 3] = [4, 8, 8];
/// The longest window: shared memory holds the voxels of a tile with its border.
const WINDOW: usize = 3;
/// Input channels at a time.
const DEEP: usize = 64;

/// The sums of a problem as the kernel takes them.
pub(super) struct Tiling {
    columns: Columns,
    boxes: [usize; 3],
    tiles: usize,
    /// Where the window of the first output begins, before the first input: the same for every axis of a tile.
    padding: [isize; 3],
}

/// Output channels of a tile.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Columns {
    Narrow = 64,
    Wide = 128,
}

/// `Geometry` of the kernel.
#[repr(C)]
#[derive(Clone, Copy)]
struct Geometry {
    batch: i32,
    outputs: [i32; 3],
    input_channels: i32,
    output_channels: i32,
    window: [i32; 3],
    padding: [i32; 3],
    backwards: i32,
    boxes: [i32; 3],
    columns: i32,
    tiles: i32,
    activation: i32,
    setting: f32,
}
// SAFETY: a `repr(C)` struct of numbers, with the fields of the device's `Geometry`.
unsafe impl Value for Geometry {}

impl Tiling {
    /// The tiles of a problem, where this kernel computes it and is taken to be the fastest: 16-bit numbers and what
    /// [`Tiling::on`] asks for.
    pub(super) fn of(device: &Cuda, dtype: DType, problem: &Problem) -> Option<Self> {
        let suits = device.capability() == (9, 0) && matches!(dtype, DType::F16 | DType::BF16);
        suits.then(|| Self::on(device.multiprocessors(), problem)).flatten()
    }

    /// Those for so many multiprocessors: where channels come by 64, the stride is 1 and windows are short, and tiles are
    /// enough, and well filled, to keep the multiprocessors busy. What is enough is an estimate, not measured.
    fn on(multiprocessors: usize, problem: &Problem) -> Option<Self> {
        /// Voxels that the tiles cover for one that is wanted, at most: beyond it smaller tiles should take less time.
        const WASTE: f64 = 1.5;
        let Problem { batch, axes, direction, input_channels, output_channels } = problem;
        let suits = [input_channels, output_channels].iter().all(|&&c| c > 0 && c.is_multiple_of(DEEP))
            && axes.iter().all(|a| a.stride == 1 && a.kernel <= WINDOW && a.fine > 0 && a.coarse > 0);
        if !suits {
            return None;
        }
        let outputs = axes.each_ref().map(|a| a.outputs(*direction));
        let boxes = std::array::from_fn(|i| outputs[i].div_ceil(BOX[i]));
        let covered = (0..3).map(|i| (boxes[i] * BOX[i]) as f64 / outputs[i] as f64).product::<f64>();
        let of_voxels = batch * boxes.iter().product::<usize>();
        let tiles = |columns: Columns| of_voxels * (output_channels / columns as usize);
        let enough = |tiles: usize| tiles >= multiprocessors;
        let columns =
            if output_channels.is_multiple_of(Columns::Wide as usize) && enough(tiles(Columns::Wide)) {
                Columns::Wide
            } else {
                Columns::Narrow
            };
        let tiles = tiles(columns);
        if covered > WASTE || !enough(2 * tiles) || i32::try_from(tiles).is_err() {
            return None;
        }
        let padding = axes.each_ref().map(|a| match direction {
            Direction::ToCoarse => a.padding as isize,
            Direction::ToFine => a.kernel as isize - 1 - a.padding as isize,
        });
        Some(Tiling { columns, boxes, tiles, padding })
    }

    /// As `sums::sum`, for a problem that this tiling was made of.
    pub(super) fn sum(
        self,
        op: &'static str,
        problem: &Problem,
        operands: Operands<'_>,
        out: &mut CudaBuffer,
    ) -> Result<()> {
        let Problem { batch, axes, direction, input_channels, output_channels } = *problem;
        let Operands { x, weights, transposed, bias, activation } = operands;
        let device = out.device().clone();
        let window = axes.map(|a| a.kernel);
        let taps = window.iter().product::<usize>();
        let swapped;
        let weights = if transposed {
            weights
        } else {
            swapped = swap(op, weights, [taps, input_channels, output_channels])?;
            &swapped
        };
        let [d, h, w] = axes.map(|a| a.outputs(direction.reversed()));
        let edges: [usize; 3] = std::array::from_fn(|i| BOX[i] + window[i] - 1);
        let x = TensorMap::in_rows_of_64(
            x,
            &[batch, d, h, w, input_channels],
            &[1, edges[0], edges[1], edges[2], DEEP],
        )?;
        let weights = TensorMap::in_rows_of_64(
            weights,
            &[taps, output_channels, input_channels],
            &[1, self.columns as usize, DEEP],
        )?;
        let geometry = Geometry {
            batch: int(op, batch)?,
            outputs: ints(op, axes.map(|a| a.outputs(direction)))?,
            input_channels: int(op, input_channels)?,
            output_channels: int(op, output_channels)?,
            window: ints(op, window)?,
            padding: self.padding.map(|p| p as i32),
            backwards: i32::from(direction == Direction::ToFine),
            boxes: ints(op, self.boxes)?,
            columns: int(op, output_channels / self.columns as usize)?,
            tiles: int(op, self.tiles)?,
            activation: activation.kind(),
            setting: activation.setting(),
        };
        let columns = match self.columns {
            Columns::Narrow => "64",
            Columns::Wide => "128",
        };
        let launch = Launch {
            source: &SUMS,
            defines: &[("REAL", Cuda::real(op, out.dtype())?), ("TILE_COLUMNS", columns)],
            kernel: "conv3d_hopper_sums",
            // Blocks stay and take one tile after the other.
            grid: [self.tiles.min(device.multiprocessors().max(1)) as u32, 1, 1],
            block: 384,
            shared: self.shared(),
        };
        let arguments = Arguments::new().output(out).map(&x).map(&weights).optional(bias).value(geometry);
        // SAFETY: the copy engine keeps to the extents of its maps; the kernel writes the voxels and channels of the
        // geometry, which are those of `out`.
        unsafe { device.launch(launch, arguments) }
    }

    /// Two boxes of voxels with their border, 64 kB of weights, and the barriers.
    fn shared(&self) -> usize {
        let voxels = BOX.iter().map(|b| b + WINDOW - 1).product::<usize>() * DEEP * 2;
        let (weights, slots) = (64 << 10, (64 << 10) / (self.columns as usize * DEEP * 2));
        2 * voxels + weights + 8 * (2 + 2 + 2 * slots)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conv3d::{cases::HOPPER_CASES, geometry::Axis};

    #[test]
    fn cases_reach_on_132_multiprocessors_what_they_say() {
        for (reached, case) in HOPPER_CASES {
            let (x, y, [padding, kernel]) = (case.x(), case.y(), [case.settings.padding, case.kernel]);
            let axes = std::array::from_fn(|i| Axis {
                fine: x[i + 1],
                coarse: y[i + 1],
                kernel: kernel[i],
                stride: 1,
                padding: padding[i],
            });
            let problem = |direction, input_channels, output_channels| Problem {
                batch: x[0],
                axes,
                direction,
                input_channels,
                output_channels,
            };
            let problem = if reached.contains("gradient") {
                problem(Direction::ToFine, y[4], x[4])
            } else {
                problem(Direction::ToCoarse, x[4], y[4])
            };
            let Tiling { columns, tiles, .. } = Tiling::on(132, &problem).expect("a case of Hopper");
            let width = if columns == Columns::Wide { "wide" } else { "narrow" };
            let found = format!("{tiles} {width} tiles of Hopper");
            assert!(reached.starts_with(&found), "{reached}: {found}");
        }
    }
}
