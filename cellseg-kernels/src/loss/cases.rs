//! The shapes that tests and benches of the losses run.

/// One number, primes, all extents the same, more than one piece of work.
pub const SHAPES: &[&[usize]] = &[&[1], &[7], &[2, 2, 2, 2, 2], &[1, 3, 5, 7, 2], &[1, 13, 17, 19, 5]];
