//! How long, how fast, and how often looked at: what every training has, whatever it minimises.

use crate::{Compute, Error, Result};

/// The settings that every training has. [`super::TrainConfig`] says what they mean.
#[derive(Debug, Clone, Copy)]
pub(super) struct Course {
    pub(super) seed: u64,
    pub(super) steps: u64,
    pub(super) batch: usize,
    pub(super) learning_rate: f64,
    /// Steps in which the learning rate rises to its height.
    pub(super) rising: u64,
    pub(super) final_learning_rate: f64,
    pub(super) weight_decay: f64,
    pub(super) clip_norm: f64,
    pub(super) validate_every: u64,
    pub(super) patience: u64,
    pub(super) checkpoint_every: u64,
    pub(super) recompute: bool,
    pub(super) compute: Compute,
}

impl Course {
    /// The learning rate of a step, counted from 0: a line up, then half a cosine down.
    pub(super) fn learning_rate_at(&self, step: u64) -> f64 {
        if step < self.rising {
            return self.learning_rate * (step + 1) as f64 / self.rising as f64;
        }
        let done = (step - self.rising) as f64 / self.steps.saturating_sub(self.rising).max(1) as f64;
        let falling = 0.5 * (1.0 + (std::f64::consts::PI * done).cos());
        self.learning_rate * (self.final_learning_rate + (1.0 - self.final_learning_rate) * falling)
    }

    /// Checks the settings.
    pub(super) fn validate(&self) -> Result<()> {
        let counts =
            [("steps", self.steps), ("batch", self.batch as u64), ("validate_every", self.validate_every)];
        if let Some((field, n)) = counts.into_iter().find(|(_, n)| *n == 0) {
            return Err(Error::setting(field, n, "at least 1"));
        }
        positive("learning_rate", self.learning_rate)?;
        not_negative("weight_decay", self.weight_decay)?;
        not_negative("clip_norm", self.clip_norm)?;
        not_negative("final_learning_rate", self.final_learning_rate)
    }
}

/// A setting that must be above zero.
pub(super) fn positive(field: &'static str, x: f64) -> Result<()> {
    if x.is_finite() && x > 0.0 { Ok(()) } else { Err(Error::setting(field, x, "a positive number")) }
}

/// A setting that must not be below zero.
pub(super) fn not_negative(field: &'static str, x: f64) -> Result<()> {
    if x.is_finite() && x >= 0.0 { Ok(()) } else { Err(Error::setting(field, x, "0 or a positive number")) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::train::SupervisedConfig;

    #[test]
    fn the_learning_rate_rises_to_its_height_and_falls_to_its_share() {
        let config = SupervisedConfig {
            steps: 100,
            warm_up: 4,
            learning_rate: 2.0,
            final_learning_rate: 0.1,
            ..SupervisedConfig::default()
        };
        let course = config.course();
        let rates: Vec<f64> = (0..100).map(|step| course.learning_rate_at(step)).collect();
        assert_eq!(rates[..5], [0.5, 1.0, 1.5, 2.0, 2.0]);
        assert!(rates[4..].is_sorted_by(|a, b| a > b));
        assert!(rates[99] > 0.2 && rates[99] < 0.21);
        let mut constant = Course { rising: 0, final_learning_rate: 1.0, ..course };
        assert!((0..100).all(|step| constant.learning_rate_at(step) == 2.0));
        constant.rising = 200;
        assert_eq!(constant.learning_rate_at(99), 1.0, "a training that ends before the height");
    }
}
