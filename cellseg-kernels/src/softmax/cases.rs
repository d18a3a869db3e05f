//! The shapes that tests and benches of the softmax run.

/// Rows of every short width and of long ones; a row alone, fewer rows than are worked on at once, many.
pub const SHAPES: &[&[usize]] = &[
    &[1],
    &[5],
    &[3, 1],
    &[2, 2, 2, 2, 2],
    &[1, 3, 5, 7, 3],
    &[37, 4],
    &[16, 5],
    &[33, 6],
    &[5, 7],
    &[17, 8],
    &[11, 9],
    &[3, 343],
    &[1, 23, 29, 31, 2],
];

/// The largest relative l2 error in single precision, values and gradients.
pub const TOLERANCE: f64 = 2e-6;
