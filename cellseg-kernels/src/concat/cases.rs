//! The shapes that tests and benches of the concatenation run.

/// The extents before the channels, and the channels of three tensors.
pub const CASES: &[(&[usize], [usize; 3])] = &[
    (&[], [1, 1, 1]),
    (&[1], [3, 1, 2]),
    (&[2, 2, 2, 2], [2, 2, 2]),
    (&[1, 3, 5, 7], [1, 16, 5]),
    (&[2, 11, 13, 17], [8, 3, 4]),
    (&[4], [0, 3, 2]),
];
