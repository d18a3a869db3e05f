//! The shapes that tests and benches of max pooling run.

/// An input `[n, d, h, w, c]` and a window `(z, y, x)`: volumes that windows fill and do not fill, one voxel, one channel.
pub const CASES: &[([usize; 5], [usize; 3])] = &[
    ([1, 1, 1, 1, 1], [1, 1, 1]),
    ([2, 2, 2, 2, 2], [2, 2, 2]),
    ([1, 4, 6, 8, 3], [2, 2, 2]),
    ([2, 5, 7, 3, 1], [2, 3, 2]),
    ([1, 3, 5, 7, 16], [1, 2, 3]),
    ([2, 7, 5, 5, 33], [2, 2, 2]),
    ([1, 8, 8, 4, 2], [8, 8, 4]),
];
