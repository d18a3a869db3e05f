//! Random numbers whose values are part of the contract: one seed, one volume, for good.
//!
//! The bits come from ChaCha with 8 rounds (Bernstein 2008), a published stream cipher: any correct
//! implementation gives the same words for the same key, stream and position, so neither a new version of the
//! crate nor another CPU changes them. The key is the seed, and the 64-bit stream number is made of the stage
//! and the slice: every slice has its own stream, so it does not matter which thread makes it, or when.
//!
//! The few distributions are written out here instead of taken from `rand_distr`, which permits itself to
//! change values between minor versions and computes logarithms with the platform's C library. Here `ln`,
//! `exp` and `ln Γ` come from the pure Rust crate `libm`; every other operation is one of the five that IEEE 754
//! rounds exactly.

use chacha20::ChaCha8Rng;
use chacha20::rand_core::{Rng, SeedableRng};

/// What a stream of random numbers is used for; each stage draws from streams of its own.
#[derive(Clone, Copy)]
pub(super) enum Stage {
    /// Positions, sizes, orientations and brightness of nuclei.
    Placement = 1,
    /// Lattice of the chromatin texture.
    Texture = 2,
    /// Lattice of the uneven background.
    Background = 3,
    /// Shot and read noise, one stream a slice.
    Camera = 4,
}

/// One stream of random numbers.
pub(super) struct Stream {
    bits: ChaCha8Rng,
    spare_normal: Option<f64>,
}

impl Stream {
    /// The stream number `index` of a stage.
    pub(super) fn new(seed: u64, stage: Stage, index: u32) -> Self {
        let mut key = [0; 32];
        key[..8].copy_from_slice(&seed.to_le_bytes());
        let mut bits = ChaCha8Rng::from_seed(key);
        bits.set_stream((stage as u64) << 32 | u64::from(index));
        Self { bits, spare_normal: None }
    }

    /// A number of `[0, 1)`, a multiple of 2^-53.
    pub(super) fn uniform(&mut self) -> f64 {
        (self.bits.next_u64() >> 11) as f64 * (1.0 / (1u64 << 53) as f64)
    }

    /// A number of `[low, high)`, or `low` if the two are equal.
    pub(super) fn uniform_in(&mut self, [low, high]: [f64; 2]) -> f64 {
        low + (high - low) * self.uniform()
    }

    /// An index below `n`; the bias of the multiplication is below `n` / 2^53.
    pub(super) fn index(&mut self, n: usize) -> usize {
        (self.uniform() * n as f64) as usize
    }

    /// A standard normal number, by Marsaglia's polar method (Marsaglia & Bray 1964).
    pub(super) fn normal(&mut self) -> f64 {
        if let Some(spare) = self.spare_normal.take() {
            return spare;
        }
        loop {
            let (u, v) = (self.uniform_in([-1.0, 1.0]), self.uniform_in([-1.0, 1.0]));
            let s = u * u + v * v;
            if s > 0.0 && s < 1.0 {
                let scale = (-2.0 * libm::log(s) / s).sqrt();
                self.spare_normal = Some(v * scale);
                return u * scale;
            }
        }
    }

    /// A direction, uniform on the unit sphere.
    pub(super) fn direction(&mut self) -> [f64; 3] {
        loop {
            let v: [f64; 3] = std::array::from_fn(|_| self.uniform_in([-1.0, 1.0]));
            let s = v.iter().map(|x| x * x).sum::<f64>();
            if s > 1e-6 && s < 1.0 {
                return v.map(|x| x / s.sqrt());
            }
        }
    }

    /// A rotation, uniform over all rotations: rows are three orthogonal unit vectors (Shoemake 1992).
    pub(super) fn rotation(&mut self) -> [[f64; 3]; 3] {
        let quaternion: [f64; 4] = std::array::from_fn(|_| self.normal());
        // Four normal numbers are never all this small in practice, but a division by zero must not be possible.
        let norm = quaternion.iter().map(|c| c * c).sum::<f64>().sqrt().max(f64::MIN_POSITIVE);
        let [w, a, b, c] = quaternion.map(|q| q / norm);
        [
            [1.0 - 2.0 * (b * b + c * c), 2.0 * (a * b - c * w), 2.0 * (a * c + b * w)],
            [2.0 * (a * b + c * w), 1.0 - 2.0 * (a * a + c * c), 2.0 * (b * c - a * w)],
            [2.0 * (a * c - b * w), 2.0 * (b * c + a * w), 1.0 - 2.0 * (a * a + b * b)],
        ]
    }

    /// A Poisson number with the given mean.
    ///
    /// Exact for every mean (no normal approximation): multiplication of uniforms below a mean of 10 (Knuth,
    /// TAOCP 2, 3.4.1), above it transformed rejection with squeeze (Hörmann 1993, algorithm PTRS).
    pub(super) fn poisson(&mut self, mean: f64) -> f64 {
        if mean < 10.0 { self.poisson_by_multiplication(mean) } else { self.poisson_by_rejection(mean) }
    }

    fn poisson_by_multiplication(&mut self, mean: f64) -> f64 {
        let limit = libm::exp(-mean);
        let mut product = self.uniform();
        let mut count = 0.0;
        while product > limit {
            count += 1.0;
            product *= self.uniform();
        }
        count
    }

    fn poisson_by_rejection(&mut self, mean: f64) -> f64 {
        let b = 0.931 + 2.53 * mean.sqrt();
        let a = -0.059 + 0.02483 * b;
        let inverse_alpha = 1.1239 + 1.1328 / (b - 3.4);
        let squeeze = 0.9277 - 3.6224 / (b - 2.0);
        loop {
            let u = self.uniform() - 0.5;
            let v = self.uniform();
            let us = 0.5 - u.abs();
            let count = ((2.0 * a / us + b) * u + mean + 0.43).floor();
            if us >= 0.07 && v <= squeeze {
                return count;
            }
            if count < 0.0 || (us < 0.013 && v > us) {
                continue;
            }
            let accept = libm::log(v * inverse_alpha / (a / (us * us) + b));
            if accept <= count * libm::log(mean) - mean - libm::lgamma(count + 1.0) {
                return count;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mean_and_variance(n: usize, mut draw: impl FnMut() -> f64) -> (f64, f64) {
        let values: Vec<f64> = (0..n).map(|_| draw()).collect();
        let mean = values.iter().sum::<f64>() / n as f64;
        (mean, values.iter().map(|v| (v - mean) * (v - mean)).sum::<f64>() / n as f64)
    }

    #[test]
    fn words_are_those_of_the_published_cipher() {
        // ChaCha8 with a zero key and nonce (draft-strombergson-chacha-test-vectors-01, TC1): 3e 00 ef 2f 89 5f 40 d6.
        let mut stream = Stream::new(0, Stage::Placement, 0);
        stream.bits.set_stream(0);
        assert_eq!(
            stream.bits.next_u64(),
            u64::from_le_bytes([0x3e, 0x00, 0xef, 0x2f, 0x89, 0x5f, 0x40, 0xd6])
        );
    }

    #[test]
    fn poisson_has_its_mean_as_variance_in_both_algorithms() {
        let mut stream = Stream::new(3, Stage::Camera, 0);
        for mean in [0.0, 0.3, 4.0, 9.9, 10.0, 35.0, 1_000.0, 1e6] {
            let n = 40_000;
            let (m, v) = mean_and_variance(n, || stream.poisson(mean));
            // Five standard errors of the mean and of the variance (whose is sqrt((2 mean² + mean) / n)).
            assert!((m - mean).abs() <= 5.0 * (mean / n as f64).sqrt(), "mean of Poisson({mean}) is {m}");
            let error = ((2.0 * mean * mean + mean) / n as f64).sqrt();
            assert!((v - mean).abs() <= 5.0 * error, "variance of Poisson({mean}) is {v}");
        }
    }

    #[test]
    fn poisson_probabilities_agree_with_the_formula() {
        let mut stream = Stream::new(4, Stage::Camera, 0);
        for mean in [2.5, 20.0] {
            let n = 200_000;
            let mut histogram = [0.0f64; 80];
            (0..n).for_each(|_| histogram[stream.poisson(mean) as usize] += 1.0 / n as f64);
            let mut p = (-mean).exp();
            for (k, &observed) in histogram.iter().enumerate().take(50) {
                let error = (p * (1.0 - p) / n as f64).sqrt();
                assert!(
                    (observed - p).abs() < 5.0 * error + 1e-4,
                    "P({k} | {mean}) = {p}, observed {observed}"
                );
                p *= mean / (k + 1) as f64;
            }
        }
    }

    #[test]
    fn normal_has_the_moments_of_the_standard_normal() {
        let mut stream = Stream::new(5, Stage::Camera, 0);
        let n = 200_000;
        let (m, v) = mean_and_variance(n, || stream.normal());
        assert!(m.abs() < 0.012 && (v - 1.0).abs() < 0.016, "mean {m}, variance {v}");
        let beyond_two = (0..n).filter(|_| stream.normal().abs() > 2.0).count() as f64 / n as f64;
        assert!((beyond_two - 0.0455).abs() < 0.0025, "{beyond_two} beyond two sigma");
    }

    #[test]
    fn rotations_are_orthogonal_and_keep_handedness() {
        let mut stream = Stream::new(6, Stage::Placement, 0);
        for _ in 0..100 {
            let [a, b, c] = stream.rotation();
            let dot = |u: [f64; 3], v: [f64; 3]| u.iter().zip(v).map(|(x, y)| x * y).sum::<f64>();
            let cross = [a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]];
            for (value, expected) in
                [(dot(a, a), 1.0), (dot(b, b), 1.0), (dot(a, b), 0.0), (dot(cross, c), 1.0)]
            {
                assert!((value - expected).abs() < 1e-12);
            }
        }
    }
}
