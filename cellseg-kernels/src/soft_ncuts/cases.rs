//! The shapes and settings that tests, gradient checks and benches of SoftNCuts run.

use super::{Form, SoftNCuts};

/// Extents and settings of one loss.
#[derive(Debug, Clone, Copy)]
pub struct Case {
    /// Items of the batch.
    pub batch: usize,
    /// Extents of the volumes, `(d, h, w)`.
    pub size: [usize; 3],
    /// Classes.
    pub classes: usize,
    /// Image channels.
    pub channels: usize,
    /// How far the image's numbers spread; a sigma of intensity is one.
    pub contrast: f64,
    /// The settings; the form is set by who runs the case.
    pub settings: SoftNCuts,
}

/// The largest relative l2 error of gradients in single precision, and the largest relative error of the loss.
pub const TOLERANCE: f64 = 5e-6;

const fn case(
    batch: usize,
    size: [usize; 3],
    [classes, channels]: [usize; 2],
    contrast: f64,
    sigma_space: f64,
    radius: usize,
) -> Case {
    let settings = SoftNCuts { form: Form::Approximate, sigma_intensity: 1.0, sigma_space, radius };
    Case { batch, size, classes, channels, contrast, settings }
}

impl Case {
    /// The shape of the probabilities, `[n, d, h, w, k]`.
    pub fn probabilities(&self) -> [usize; 5] {
        let [d, h, w] = self.size;
        [self.batch, d, h, w, self.classes]
    }

    /// The shape of the image, `[n, d, h, w, c]`.
    pub fn image(&self) -> [usize; 5] {
        let [d, h, w] = self.size;
        [self.batch, d, h, w, self.channels]
    }

    /// The settings of one form.
    pub fn with(&self, form: Form) -> SoftNCuts {
        SoftNCuts { form, ..self.settings }
    }
}

/// CellSeg3D's patches: what is timed.
pub const PATCH: Case = case(1, [64; 3], [2, 1], 1.0, 4.0, 2);

/// Small shapes that meet every border: extents of one, primes, rows shorter and longer than vectors, windows larger than
/// the volume, planes that fill no piece of work or several, batches, channels, and one to many classes.
pub const CASES: &[Case] = &[
    case(1, [1, 1, 1], [2, 1], 1.0, 4.0, 2),
    case(1, [1, 1, 17], [2, 1], 1.0, 4.0, 3),
    case(1, [5, 1, 1], [3, 1], 1.0, 2.0, 1),
    case(1, [1, 7, 3], [1, 1], 1.0, 4.0, 2),
    case(2, [3, 5, 4], [2, 1], 1.0, 4.0, 2),
    case(1, [4, 4, 4], [4, 4], 0.5, 4.0, 2),
    case(1, [3, 4, 6], [2, 1], 1.0, 4.0, 9),
    case(2, [9, 6, 7], [3, 2], 0.5, 4.0, 2),
    case(1, [17, 4, 5], [5, 1], 1.0, 1.5, 3),
    case(1, [21, 3, 19], [10, 1], 1.0, 4.0, 1),
    case(1, [6, 5, 67], [2, 1], 0.5, 4.0, 5),
    case(1, [13, 11, 32], [7, 3], 0.3, 10.0, 2),
];
