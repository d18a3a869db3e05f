//! The shapes that tests and benches of joining and picking channels run.

/// The extents before the channels, and the channels of three tensors.
pub const CASES: &[(&[usize], [usize; 3])] = &[
    (&[], [1, 1, 1]),
    (&[1], [3, 1, 2]),
    (&[2, 2, 2, 2], [2, 2, 2]),
    (&[1, 3, 5, 7], [1, 16, 5]),
    (&[2, 11, 13, 17], [8, 3, 4]),
    (&[4], [0, 3, 2]),
];

/// The extents before the channels, the channels of a block, how many blocks there are, and which are picked: all in another
/// order, one twice, one never, more or fewer than there are.
pub const PICKS: &[(&[usize], usize, usize, &[usize])] = &[
    (&[1], 1, 1, &[0]),
    (&[5], 3, 3, &[2, 0, 1]),
    (&[2, 3, 7], 8, 8, &[0, 4, 2, 1, 5, 2, 1, 7]),
    (&[3, 11], 2, 4, &[3, 3, 3]),
    (&[2, 2], 5, 2, &[1, 0, 1, 0, 0]),
];
