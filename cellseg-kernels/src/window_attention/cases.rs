//! The shapes that tests and benches of window attention run.

/// An attention's shapes.
#[derive(Debug, Clone, Copy)]
pub struct Case {
    /// Windows.
    pub windows: usize,
    /// Heads.
    pub heads: usize,
    /// Numbers of a head.
    pub dim: usize,
    /// The window that the bias table is made for, `(d, h, w)`.
    pub window: [usize; 3],
    /// Tokens of a window, at most those of `window`.
    pub tokens: usize,
}

const fn case(windows: usize, heads: usize, dim: usize, window: [usize; 3], tokens: usize) -> Case {
    Case { windows, heads, dim, window, tokens }
}

impl Case {
    /// The shape of queries, keys and values.
    pub fn qkv(&self) -> [usize; 3] {
        [self.windows, self.tokens, 3 * self.heads * self.dim]
    }

    /// The shape of the output.
    pub fn output(&self) -> [usize; 3] {
        [self.windows, self.tokens, self.heads * self.dim]
    }

    /// The shape of the bias table.
    pub fn table(&self) -> [usize; 2] {
        [self.window.iter().map(|w| 2 * w - 1).product(), self.heads]
    }

    /// Floating point operations of the products of the forward pass; the backward pass has two and a half times as many.
    pub fn flops(&self) -> f64 {
        4.0 * (self.windows * self.heads * self.tokens * self.tokens * self.dim) as f64
    }
}

/// One token, primes, dimensions below, at and above a vector, windows cut off, more tokens than a tile has columns, and as
/// many as Swin has.
pub const CASES: &[Case] = &[
    case(1, 1, 1, [1, 1, 1], 1),
    case(2, 3, 5, [2, 2, 2], 8),
    case(3, 2, 12, [3, 2, 4], 24),
    case(2, 1, 16, [3, 3, 3], 23),
    case(1, 2, 33, [2, 3, 5], 30),
    case(2, 2, 20, [4, 4, 3], 41),
    case(1, 1, 16, [7; 3], 343),
];

/// The stages of SwinUNETR at 64^3 with 48 channels, and heads of other sizes.
pub const LAYERS: &[Case] = &[
    case(125, 3, 16, [7; 3], 343),
    case(27, 6, 16, [7; 3], 343),
    case(8, 12, 16, [7; 3], 343),
    case(125, 3, 32, [7; 3], 343),
    case(125, 3, 12, [7; 3], 343),
];

/// The largest relative l2 error in single precision, forward and gradients.
pub const TOLERANCE: f64 = 2e-6;
