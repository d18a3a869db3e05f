//! The shapes that tests, gradient checks and benches of the transposed convolution run.

use super::ConvTranspose3d;
use crate::conv3d::{self, Precision};

pub use crate::conv3d::cases::TOLERANCE;

/// A transposed convolution's shapes and settings.
pub type Case = conv3d::cases::Case<ConvTranspose3d>;

const fn case(
    batch: usize,
    size: [usize; 3],
    [input_channels, output_channels]: [usize; 2],
    kernel: [usize; 3],
    stride: [usize; 3],
    padding: [usize; 3],
) -> Case {
    Case {
        batch,
        size,
        input_channels,
        output_channels,
        kernel,
        settings: ConvTranspose3d { stride, padding, precision: Precision::Fast },
    }
}

const fn doubling(size: usize, channels: [usize; 2]) -> Case {
    case(1, [size; 3], channels, [2; 3], [2; 3], [0; 3])
}

impl Case {
    /// The shape of the output, `[n, d, h, w, c]`.
    pub fn y(&self) -> [usize; 5] {
        let ConvTranspose3d { stride, padding, .. } = self.settings;
        let [d, h, w] =
            std::array::from_fn(|i| (self.size[i] - 1) * stride[i] + self.kernel[i] - 2 * padding[i]);
        [self.batch, d, h, w, self.output_channels]
    }

    /// Multiplications and additions of the forward pass, as of each gradient; those that padding cuts off count.
    pub fn flops(&self) -> f64 {
        let products = self.x().iter().chain(&self.kernel).product::<usize>() * self.output_channels;
        2.0 * products as f64
    }
}

/// Small shapes at every edge of the kernels: extents and channels of 1, primes, all five extents the same; strides,
/// kernels and paddings of all kinds.
pub const CASES: &[Case] = &[
    doubling(1, [1, 1]),
    case(2, [2; 3], [2, 2], [2; 3], [2; 3], [0; 3]),
    case(2, [3, 4, 5], [17, 13], [2; 3], [2; 3], [0; 3]),
    case(1, [2, 3, 7], [33, 40], [2; 3], [2; 3], [0; 3]),
    case(1, [1, 2, 3], [150, 140], [2; 3], [2; 3], [0; 3]),
    case(1, [2, 3, 4], [67, 1], [2; 3], [2; 3], [0; 3]),
    case(1, [4, 3, 5], [5, 6], [3; 3], [2; 3], [1; 3]),
    case(1, [4, 3, 5], [3, 4], [3; 3], [1; 3], [1; 3]),
    case(1, [3, 3, 4], [3, 2], [4, 3, 5], [2, 3, 1], [1, 0, 2]),
    // Outputs that no tap reaches.
    case(1, [3, 2, 4], [3, 4], [1, 2, 1], [2, 3, 3], [0; 3]),
    case(1, [2, 1, 1], [2, 3], [1, 3, 2], [1, 5, 4], [0, 1, 0]),
];

/// Small shapes for the tensor cores of a GPU, which take channels by eight.
pub const MATRIX_CASES: &[Case] = &[
    case(1, [1; 3], [8, 8], [2; 3], [2; 3], [0; 3]),
    case(2, [2, 3, 4], [24, 16], [2; 3], [2; 3], [0; 3]),
    case(1, [3, 5, 4], [64, 64], [2; 3], [2; 3], [0; 3]),
    case(1, [2, 3, 3], [40, 136], [2; 3], [2; 3], [0; 3]),
    case(1, [4, 3, 5], [16, 32], [3; 3], [2; 3], [1; 3]),
    case(1, [3, 2, 4], [8, 48], [1, 3, 2], [2, 3, 1], [0, 1, 0]),
];

/// Layers of the networks, for timing.
pub const LAYERS: &[Case] = &[
    doubling(32, [128, 64]),
    doubling(32, [32, 16]),
    doubling(16, [256, 128]),
    doubling(16, [64, 32]),
    doubling(8, [512, 256]),
];
