//! Values of NumPy, SciPy, scikit-image and stardist, made by `fixtures/make_fixtures.py`.

mod crf;
mod filters;
mod many_scores;
mod more_regions;
mod morphology;
mod objects;
mod resampled;
mod scores;
mod thresholds;

use ndarray::{Array, Dimension};
use ndarray_npy::ReadableElement;

/// Reads `fixtures/{name}.npy`.
fn fixture<T: ReadableElement, D: Dimension>(name: &str) -> Array<T, D> {
    let path = format!("{}/tests/fixtures/{name}.npy", env!("CARGO_MANIFEST_DIR"));
    ndarray_npy::read_npy(&path).unwrap_or_else(|error| panic!("{path}: {error}"))
}
