//! The shapes that tests and benches of the norms run.

/// An input `[n, .., c]` and groups of its channels: one row, one group, a group per channel, primes, a batch, samples
/// of several pieces of work.
pub const CASES: &[(&[usize], usize)] = &[
    (&[1, 9], 1),
    (&[3, 12], 2),
    (&[2, 2, 2, 2, 2], 2),
    (&[1, 3, 5, 7, 6], 3),
    (&[2, 3, 3, 3, 5], 1),
    (&[2, 5, 3, 2, 7], 7),
    (&[1, 2, 3, 4, 64], 4),
    (&[2, 11, 13, 17, 8], 4),
];

/// The largest relative l2 error in single precision, values and gradients.
pub const TOLERANCE: f64 = 5e-6;

/// The inputs `[n, .., c]` and groups that benches run: WNet3D's levels at 64^3 and the first of its small form.
pub const LAYERS: &[([usize; 5], usize)] = &[
    ([1, 64, 64, 64, 64], 4),
    ([1, 32, 32, 32, 128], 4),
    ([1, 16, 16, 16, 256], 4),
    ([1, 64, 64, 64, 16], 4),
];
