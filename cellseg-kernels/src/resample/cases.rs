//! The shapes that tests and benches of resizing run.

/// An input `[n, d, h, w, c]` and the extents that it is resized to: twice as many voxels, more, fewer, one, and the same.
pub const CASES: &[([usize; 5], [usize; 3])] = &[
    ([1, 1, 1, 1, 1], [1, 1, 1]),
    ([1, 1, 1, 1, 2], [3, 2, 4]),
    ([2, 2, 2, 2, 2], [4, 4, 4]),
    ([1, 3, 4, 5, 3], [6, 8, 10]),
    ([1, 5, 3, 4, 1], [7, 8, 3]),
    ([1, 6, 7, 5, 2], [3, 2, 1]),
    ([1, 4, 4, 4, 33], [4, 4, 4]),
];

/// The inputs that benches resize to twice their extents.
pub const LAYERS: &[[usize; 5]] = &[[1, 32, 32, 32, 64], [1, 16, 16, 16, 128]];

/// The largest relative l2 error in single precision, values and gradients.
pub const TOLERANCE: f64 = 5e-7;
