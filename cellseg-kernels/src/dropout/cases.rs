//! The shapes that tests and benches of dropout run.

/// One number, primes, all extents the same, more than one piece of work.
pub const SHAPES: &[&[usize]] = &[&[], &[1], &[5], &[2, 2, 2, 2, 2], &[1, 3, 5, 7, 11], &[1, 13, 17, 19, 5]];
