//! How sure a score is.

use super::Matching;
use crate::Error;

/// The interval in which a score of several images together lies at a `level` of confidence, by the bootstrap.
///
/// Images are drawn with replacement `draws` times, pooled ([`Matching::pooled`]) and scored; the interval holds the middle
/// share `level` of the scores (Efron 1979, percentile method). The same seed gives the same interval.
///
/// # Errors
/// [`Error::Argument`] if there are no images, no draws, a level outside 0 to 1, or images that were matched by different
/// criteria or thresholds.
pub fn bootstrap_interval(
    images: &[Matching],
    score: impl Fn(&Matching) -> f64,
    level: f64,
    draws: usize,
    seed: u64,
) -> Result<(f64, f64), Error> {
    let refuse = |name, given: String, expected| Err(Error::Argument { name, given, expected });
    if !(0.0..=1.0).contains(&level) {
        return refuse("the level of confidence", level.to_string(), "a number from 0 to 1, usually 0.95");
    }
    if draws == 0 {
        return refuse(
            "the number of bootstrap draws",
            draws.to_string(),
            "at least 1, usually 1000 or more",
        );
    }
    if Matching::pooled(images).is_none() {
        let given = format!("{} images", images.len());
        return refuse(
            "the images to be drawn from",
            given,
            "at least one, all matched at one threshold by one criterion",
        );
    }
    let mut state = seed;
    let mut scores: Vec<f64> = (0..draws)
        .filter_map(|_| {
            let drawn: Vec<Matching> =
                images.iter().map(|_| images[below(images.len() as u64, &mut state) as usize]).collect();
            Matching::pooled(&drawn).map(|pooled| score(&pooled))
        })
        .collect();
    scores.sort_unstable_by(f64::total_cmp);
    let at = |share: f64| scores[(share * (scores.len() - 1) as f64).round() as usize];
    Ok((at((1.0 - level) / 2.0), at((1.0 + level) / 2.0)))
}

/// A number below `n`, each equally likely to one in 2^64 / n; SplitMix64 (Steele, Lea & Flood 2014).
fn below(n: u64, state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    ((u128::from(z ^ (z >> 31)) * u128::from(n)) >> 64) as u64
}
