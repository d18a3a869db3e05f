//! The shapes that tests and benches of the sums run.

/// A shape, and axes of it: none, one, neighbours and strangers; sums of one piece of work, of many, and of wide rows.
pub const CASES: &[(&[usize], &[usize])] = &[
    (&[1], &[0]),
    (&[7], &[]),
    (&[2, 3], &[0]),
    (&[2, 3], &[1]),
    (&[2, 2, 2, 2, 2], &[1, 2, 3]),
    (&[3, 5, 1, 7, 2], &[0, 2, 4]),
    (&[3, 5, 1, 7, 2], &[1, 3]),
    (&[2, 3, 5, 7, 11, 13], &[0, 1, 2, 3, 4]),
    (&[2, 29, 31, 5], &[1, 2]),
    (&[3, 17000], &[1]),
    (&[3, 9000], &[0]),
    (&[2, 40, 1100], &[1]),
];
