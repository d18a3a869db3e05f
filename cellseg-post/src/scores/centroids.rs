//! Matching objects by their centres.

use rustc_hash::FxHashMap;

use super::assignment::{Edge, heaviest_assignment};
use crate::Error;

/// Pairs true and predicted centres (z, y, x) in micrometres that are at most `distance` apart, each used once.
///
/// Of all assignments with the most pairs it is one with the least total distance. Returns (truth, prediction, distance) by
/// rising place of the true centre; what is missing was missed or invented.
///
/// # Errors
/// [`Error::Argument`] if the distance is not a finite number above 0, or a coordinate is not finite.
pub fn match_centroids(
    truth: &[[f64; 3]],
    prediction: &[[f64; 3]],
    distance: f64,
) -> Result<Vec<(usize, usize, f64)>, Error> {
    if !(distance.is_finite() && distance > 0.0) {
        return Err(Error::Argument {
            name: "the largest distance between matched centroids in micrometres",
            given: distance.to_string(),
            expected: "a finite number above 0",
        });
    }
    if let Some(wrong) = truth.iter().chain(prediction).find(|at| at.iter().any(|side| !side.is_finite())) {
        return Err(Error::Argument {
            name: "a centroid (z, y, x)",
            given: format!("{wrong:?}"),
            expected: "three finite numbers",
        });
    }
    // Only centres in the 27 cells around can be within one cell's side.
    let cell = |at: &[f64; 3]| at.map(|side| (side / distance).floor() as i64);
    let mut cells: FxHashMap<[i64; 3], Vec<usize>> = FxHashMap::default();
    for (place, at) in prediction.iter().enumerate() {
        cells.entry(cell(at)).or_default().push(place);
    }
    let at_most = truth.len().min(prediction.len()) as f64;
    let mut edges = Vec::new();
    let mut lengths = FxHashMap::default();
    for (row, at) in truth.iter().enumerate() {
        let [z, y, x] = cell(at);
        let around = (0..27).map(|n| [z + n / 9 - 1, y + n / 3 % 3 - 1, x + n % 3 - 1]);
        for &column in around.filter_map(|cell| cells.get(&cell)).flatten() {
            let apart =
                at.iter().zip(&prediction[column]).map(|(a, b)| (a - b) * (a - b)).sum::<f64>().sqrt();
            if apart <= distance {
                // One for the pair, and below one in total for their nearness.
                let weight = 1.0 + (1.0 - apart / distance) / (2.0 * at_most);
                edges.push(Edge { row, column, weight });
                lengths.insert((row, column), apart);
            }
        }
    }
    let chosen = heaviest_assignment(&edges, truth.len(), prediction.len());
    Ok(chosen.into_iter().map(|edge| (edge.row, edge.column, lengths[&(edge.row, edge.column)])).collect())
}
