//! The tiles that the kernels are compiled for.

use cellseg_core::DType;

/// Blocks that an H100 runs at a time, two on each of its 132 multiprocessors. Not asked of the device: the parts of a
/// weight gradient follow from it, and so do its last bits.
pub(super) const BLOCKS: usize = 264;

/// Steps of the depth that are in shared memory at a time.
const STAGES: usize = 3;

/// The sums that a block of 4 warps makes on the tensor cores.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct MatrixTile {
    warp_m: usize,
    warp_n: usize,
    /// Warps side by side along the columns.
    warps_n: usize,
}

const fn tile(warp_m: usize, warp_n: usize, warps_n: usize) -> MatrixTile {
    MatrixTile { warp_m, warp_n, warps_n }
}

/// Widest first, with what a column costs relative to the first, an estimate, not measured: the narrower a tile, the more
/// often its rows are read.
const WIDE: [(MatrixTile, f64); 3] = [(tile(64, 64, 1), 1.0), (tile(64, 48, 1), 1.1), (tile(64, 32, 1), 1.3)];

impl MatrixTile {
    /// For few rows, or where the others would leave multiprocessors idle.
    pub(super) const SMALL: Self = tile(32, 32, 2);

    /// Threads of a block.
    pub(super) const THREADS: usize = 128;

    pub(super) fn rows(self) -> usize {
        4 / self.warps_n * self.warp_m
    }

    pub(super) fn columns(self) -> usize {
        self.warps_n * self.warp_n
    }

    /// The tile that should be the fastest for a result of so many rows and columns on a GPU with so many
    /// multiprocessors. The sums do not depend on the tile.
    pub(super) fn of(rows: usize, columns: usize, multiprocessors: usize) -> Self {
        let wide = Self::of_many(rows, columns);
        let blocks = rows.div_ceil(wide.rows()) * columns.div_ceil(wide.columns());
        if wide.columns() > Self::SMALL.warp_n && blocks <= multiprocessors { Self::SMALL } else { wide }
    }

    /// The same where there are as many blocks as are wanted, because the depth can be cut.
    pub(super) fn of_many(rows: usize, columns: usize) -> Self {
        let cost =
            |(tile, factor): (MatrixTile, f64)| columns.next_multiple_of(tile.columns()) as f64 * factor;
        let fastest = WIDE.into_iter().min_by(|&a, &b| cost(a).total_cmp(&cost(b)));
        match fastest {
            Some((tile, _)) if rows > Self::SMALL.rows() => tile,
            _ => Self::SMALL,
        }
    }

    /// What the kernels are compiled with for it.
    pub(super) fn defines(self) -> [(&'static str, &'static str); 3] {
        let name = |n| match n {
            1 => "1",
            2 => "2",
            32 => "32",
            48 => "48",
            _ => "64",
        };
        [("WARP_M", name(self.warp_m)), ("WARP_N", name(self.warp_n)), ("WARPS_N", name(self.warps_n))]
    }

    /// Bytes of a row `[k][x]` of so many numbers, padding included: `Across` of product.cuh.
    fn pitch(width: usize, dtype: DType) -> usize {
        (width + 8) * dtype.size()
    }

    /// Numbers of a slice of the depth, 64 bytes.
    pub(super) fn depth(dtype: DType) -> usize {
        64 / dtype.size()
    }

    /// Shared memory of the sums into voxels.
    pub(super) fn shared_for_sums(self, dtype: DType) -> usize {
        STAGES * (64 * self.rows() + Self::depth(dtype) * Self::pitch(self.columns(), dtype))
    }

    /// Shared memory of the weight gradient.
    pub(super) fn shared_for_weight_gradient(self, dtype: DType) -> usize {
        let pitches = Self::pitch(self.rows(), dtype) + Self::pitch(self.columns(), dtype);
        STAGES * Self::depth(dtype) * pitches
    }
}

/// The sums that a block of 256 threads makes without tensor cores.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct PlainTile {
    pub(super) rows: usize,
    pub(super) columns: usize,
    pub(super) defines: [(&'static str, &'static str); 4],
}

const fn plain(
    [rows, columns]: [usize; 2],
    names: [&'static str; 2],
    [thread_m, thread_n]: [&'static str; 2],
) -> PlainTile {
    let defines =
        [("TILE_M", names[0]), ("TILE_N", names[1]), ("THREAD_M", thread_m), ("THREAD_N", thread_n)];
    PlainTile { rows, columns, defines }
}

impl PlainTile {
    /// Threads of a block.
    pub(super) const THREADS: usize = 256;

    pub(super) const SQUARE: Self = plain([128, 64], ["128", "64"], ["8", "4"]);
    /// For few columns.
    pub(super) const NARROW: Self = plain([256, 8], ["256", "8"], ["2", "4"]);
    /// For few rows, of a weight gradient.
    const FLAT: Self = plain([32, 64], ["32", "64"], ["2", "4"]);

    /// The tile that should be the fastest for a weight gradient of so many rows and columns.
    pub(super) fn of(rows: usize, columns: usize) -> Self {
        match (rows, columns) {
            (_, ..=8) => Self::NARROW,
            (..=32, _) => Self::FLAT,
            _ => Self::SQUARE,
        }
    }
}
