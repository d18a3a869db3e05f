//! The shapes that tests and benches of the pointwise operations run.

/// Shapes of one number, of primes, with all extents the same, and of more than one piece of work.
pub const SHAPES: &[&[usize]] = &[&[], &[1], &[7], &[3, 1, 5, 2], &[2, 2, 2, 2, 2], &[1, 13, 11, 17, 7]];

/// Pairs of shapes of which the first can be repeated to the second.
pub const REPEATED: &[(&[usize], &[usize])] = &[
    (&[], &[]),
    (&[1], &[7]),
    (&[5], &[5]),
    (&[1, 1, 1, 1, 3], &[2, 5, 1, 7, 3]),
    (&[2, 1, 1, 1, 3], &[2, 2, 3, 5, 3]),
    (&[2, 5, 1, 7, 1], &[2, 5, 3, 7, 4]),
    (&[1, 13, 11, 17, 1], &[1, 13, 11, 17, 7]),
    (&[1, 1, 1, 1, 7], &[1, 13, 11, 17, 7]),
];

/// The largest relative l2 error in single precision, values and gradients.
pub const TOLERANCE: f64 = 1e-6;
