//! The shapes that tests, gradient checks and benches of the convolution run.

use super::{Conv3d, Precision};
use crate::pointwise::Activation;

/// A convolution's shapes and settings `S`.
#[derive(Debug, Clone, Copy)]
pub struct Case<S = Conv3d> {
    /// Volumes in the batch.
    pub batch: usize,
    /// Extents of the input, `(d, h, w)`.
    pub size: [usize; 3],
    /// Channels of the input.
    pub input_channels: usize,
    /// Channels of the output.
    pub output_channels: usize,
    /// Taps of the kernel per axis.
    pub kernel: [usize; 3],
    /// Stride, padding and so on.
    pub settings: S,
}

/// The largest relative l2 error of the direct kernels in single precision, forward and gradients.
pub const TOLERANCE: f64 = 2e-6;

const fn case(
    batch: usize,
    size: [usize; 3],
    [input_channels, output_channels]: [usize; 2],
    kernel: [usize; 3],
    stride: [usize; 3],
    padding: [usize; 3],
) -> Case {
    let settings = Conv3d { stride, padding, activation: Activation::None, precision: Precision::Fast };
    Case { batch, size, input_channels, output_channels, kernel, settings }
}

const fn cube(size: usize, channels: [usize; 2]) -> Case {
    case(1, [size; 3], channels, [3; 3], [1; 3], [1; 3])
}

impl<S> Case<S> {
    /// The shape of the input, `[n, d, h, w, c]`.
    pub fn x(&self) -> [usize; 5] {
        let [d, h, w] = self.size;
        [self.batch, d, h, w, self.input_channels]
    }

    /// The shape of the kernel, `[kd, kh, kw, in, out]`.
    pub fn w(&self) -> [usize; 5] {
        let [kd, kh, kw] = self.kernel;
        [kd, kh, kw, self.input_channels, self.output_channels]
    }
}

impl Case {
    /// The shape of the output, `[n, d, h, w, c]`.
    pub fn y(&self) -> [usize; 5] {
        let Conv3d { stride, padding, .. } = self.settings;
        let [d, h, w] =
            std::array::from_fn(|i| (self.size[i] + 2 * padding[i] - self.kernel[i]) / stride[i] + 1);
        [self.batch, d, h, w, self.output_channels]
    }

    /// Multiplications and additions of the convolution, as of each of its gradients; zeros of the padding count.
    pub fn flops(&self) -> f64 {
        let products = self.y().iter().chain(&self.kernel).product::<usize>() * self.input_channels;
        2.0 * products as f64
    }
}

/// Small shapes at every edge of the kernels: extents and channels of 1, primes, no multiples of a tile or a vector, all
/// five extents the same; strides, kernels and paddings of all kinds.
pub const CASES: &[Case] = &[
    case(1, [1; 3], [1, 1], [1; 3], [1; 3], [0; 3]),
    case(1, [1; 3], [1, 1], [3; 3], [1; 3], [1; 3]),
    case(3, [3; 3], [3, 3], [3; 3], [1; 3], [1; 3]),
    case(1, [5, 7, 11], [13, 17], [3; 3], [1; 3], [1; 3]),
    case(2, [4, 5, 9], [1, 16], [3; 3], [1; 3], [1; 3]),
    case(1, [3, 4, 19], [2, 33], [3; 3], [1; 3], [1; 3]),
    case(1, [3, 2, 29], [16, 1], [3; 3], [1; 3], [1; 3]),
    case(1, [3, 4, 18], [33, 2], [3; 3], [1; 3], [1; 3]),
    case(1, [2, 3, 23], [7, 48], [3; 3], [1; 3], [1; 3]),
    case(1, [2, 2, 15], [67, 80], [3; 3], [1; 3], [1; 3]),
    case(1, [2, 3, 7], [131, 129], [1, 3, 3], [1; 3], [0, 1, 1]),
    // Few channels in: copied rows, and taps of the weight gradient several at a time.
    case(1, [1; 3], [1, 64], [3; 3], [1; 3], [1; 3]),
    case(2, [3, 4, 7], [1, 64], [3; 3], [1; 3], [1; 3]),
    case(1, [4, 1, 6], [1, 48], [3; 3], [1; 3], [1; 3]),
    case(1, [3, 5, 6], [2, 30], [3; 3], [1; 3], [1; 3]),
    case(2, [5, 4, 21], [2, 16], [3; 3], [2; 3], [1; 3]),
    case(1, [6, 5, 9], [2, 20], [5; 3], [1; 3], [2; 3]),
    // Few channels out: all taps of a voxel at once.
    case(2, [3, 4, 5], [24, 1], [3; 3], [1; 3], [1; 3]),
    case(1, [1; 3], [20, 2], [3; 3], [1; 3], [1; 3]),
    case(2, [4, 3, 5], [40, 3], [2, 3, 4], [1; 3], [0, 1, 0]),
    case(1, [3, 3, 9], [37, 7], [1, 2, 5], [1; 3], [0, 1, 3]),
    // One voxel each: 1x1x1, with as many voxels as need several rows and a rest.
    case(2, [9, 11, 9], [5, 3], [1; 3], [1; 3], [0; 3]),
    case(1, [3, 5, 6], [64, 2], [1; 3], [1; 3], [0; 3]),
    case(2, [3, 7, 9], [134, 144], [1; 3], [1; 3], [0; 3]),
    case(1, [5, 6, 7], [20, 7], [1; 3], [2, 1, 3], [0; 3]),
    // Strides, even kernels, kernels of one axis, no padding and too much of it.
    case(1, [8, 6, 10], [6, 20], [2; 3], [2; 3], [0; 3]),
    case(2, [7, 8, 9], [4, 5], [3; 3], [2; 3], [1; 3]),
    case(1, [6, 7, 13], [3, 18], [1, 4, 5], [1, 2, 3], [0, 1, 2]),
    case(1, [9, 4, 5], [2, 3], [5, 1, 1], [4, 1, 1], [0; 3]),
    case(1, [5, 5, 8], [3, 4], [3; 3], [1; 3], [0; 3]),
    case(1, [2, 3, 4], [3, 4], [1, 2, 3], [3, 2, 1], [2, 3, 4]),
    case(1, [4, 4, 4], [2, 3], [2, 2, 2], [3, 3, 3], [0; 3]),
    case(1, [2, 2, 2], [3, 3], [3; 3], [3; 3], [1; 3]),
    case(1, [5, 6, 7], [2, 3], [7, 7, 7], [1; 3], [3; 3]),
    // Padding wider than a strip of the weight gradient.
    case(1, [1, 1, 1], [2, 2], [1, 1, 3], [1; 3], [0, 0, 300]),
    // A row longer than a strip of the weight gradient.
    case(1, [1, 2, 301], [3, 5], [1, 3, 3], [1; 3], [0, 1, 1]),
];

/// Small shapes for the tensor cores of a GPU, which take channels by eight: all of their tiles, with and without rows,
/// columns and depths that end within one; strides, kernels and paddings of all kinds.
pub const MATRIX_CASES: &[Case] = &[
    case(1, [1; 3], [8, 8], [3; 3], [1; 3], [1; 3]),
    case(2, [3, 4, 5], [16, 8], [3; 3], [1; 3], [1; 3]),
    case(1, [2, 3, 7], [24, 40], [3; 3], [1; 3], [1; 3]),
    case(1, [3, 5, 6], [8, 72], [3; 3], [1; 3], [1; 3]),
    case(1, [2, 3, 9], [72, 24], [2, 3, 1], [1; 3], [1, 1, 0]),
    case(3, [2, 3, 3], [32, 136], [1, 3, 2], [1; 3], [0, 1, 1]),
    case(1, [5, 5, 7], [8, 16], [10, 2, 4], [1; 3], [3, 1, 2]),
    // Deep enough for their depth to be cut up among blocks, within taps and within slices of channels.
    case(2, [2, 3, 3], [56, 24], [3; 3], [1; 3], [1; 3]),
    case(1, [2, 3, 2], [136, 16], [3; 3], [1; 3], [1; 3]),
    case(1, [4, 5, 3], [8, 200], [3; 3], [2; 3], [1; 3]),
    // More tiles than multiprocessors of the emulated device, so wide ones.
    case(1, [9, 13, 11], [8, 64], [1, 1, 3], [1; 3], [0, 0, 1]),
    case(2, [6, 11, 7], [16, 128], [1; 3], [1; 3], [0; 3]),
    case(2, [9, 8, 9], [40, 48], [1; 3], [1; 3], [0; 3]),
    case(1, [8, 13, 12], [64, 32], [1; 3], [1; 3], [0; 3]),
    case(1, [4, 5, 6], [128, 128], [1; 3], [1; 3], [0; 3]),
    case(1, [6, 5, 9], [16, 24], [3; 3], [2; 3], [1; 3]),
    case(1, [9, 4, 5], [8, 32], [2, 3, 1], [3, 1, 2], [0, 1, 0]),
    case(1, [3, 2, 5], [16, 16], [1, 2, 2], [1, 3, 3], [2; 3]),
];

/// Small shapes for Hopper's products of four warps, which take channels by 64 and voxels by boxes of 4x8x8: whole and
/// cut boxes, both widths, windows of one to three voxels, several slices of channels, more tiles than blocks.
pub const WIDE_CASES: &[Case] = &[
    case(1, [8, 8, 8], [64, 64], [3; 3], [1; 3], [1; 3]),
    case(2, [7, 8, 13], [64, 64], [3; 3], [1; 3], [1; 3]),
    case(1, [7, 14, 14], [64, 128], [1, 2, 3], [1; 3], [0, 1, 2]),
    case(2, [8, 8, 16], [64, 128], [1; 3], [1; 3], [0; 3]),
    case(1, [4, 14, 16], [128, 64], [3, 1, 2], [1; 3], [1, 0, 0]),
];

/// Shapes that fill the 132 multiprocessors of an H100 or H200, each with what it reaches there: Hopper's kernel with tiles
/// of both widths, forward and backwards, and more tiles than blocks.
pub const HOPPER_CASES: &[(&str, Case)] = &[
    ("96 narrow tiles of Hopper", case(1, [10, 30, 60], [64, 64], [3; 3], [1; 3], [1; 3])),
    ("256 narrow tiles of Hopper", case(1, [16, 64, 64], [64, 64], [3; 3], [1; 3], [1; 3])),
    ("256 wide tiles of Hopper", case(1, [16, 64, 64], [64, 128], [3; 3], [1; 3], [1; 3])),
    (
        "224 wide tiles of Hopper in the data gradient",
        case(1, [13, 61, 50], [128, 64], [1, 2, 3], [1; 3], [0, 1, 1]),
    ),
];

/// The same for the wide tiles of the tensor cores.
pub const WIDE_TILE_CASES: &[(&str, Case)] = &[
    ("152 wide tiles of matrices", case(1, [23, 41, 41], [48, 64], [3; 3], [1; 3], [1; 3])),
    (
        "184 wide tiles of matrices in the data gradient, of eight phases",
        case(1, [33, 35, 37], [64, 40], [3; 3], [2; 3], [1; 3]),
    ),
];

/// Layers of the networks, and a few with other kernels, for timing: the first ones are those that the project's goals name.
pub const LAYERS: &[Case] = &[
    cube(64, [64, 64]),
    cube(64, [128, 64]),
    cube(64, [16, 16]),
    cube(32, [32, 32]),
    cube(64, [1, 16]),
    cube(64, [1, 64]),
    cube(32, [128, 128]),
    cube(16, [64, 64]),
    cube(8, [128, 128]),
    cube(16, [256, 256]),
    cube(8, [512, 512]),
    cube(64, [32, 16]),
    cube(64, [2, 16]),
    case(1, [64; 3], [64, 2], [1; 3], [1; 3], [0; 3]),
    case(1, [64; 3], [16, 16], [1; 3], [1; 3], [0; 3]),
    case(1, [32; 3], [64, 128], [1; 3], [1; 3], [0; 3]),
    case(1, [32; 3], [128, 128], [1; 3], [1; 3], [0; 3]),
    case(1, [16; 3], [256, 256], [1; 3], [1; 3], [0; 3]),
    case(1, [32; 3], [64, 64], [3; 3], [2; 3], [1; 3]),
    case(1, [32; 3], [16, 16], [5; 3], [1; 3], [2; 3]),
    case(1, [24; 3], [16, 16], [7; 3], [1; 3], [3; 3]),
    case(1, [33; 3], [16, 3], [3; 3], [1; 3], [1; 3]),
];
