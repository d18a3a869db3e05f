//! Gradients of half precision kept from vanishing.

use crate::Compute;
use serde::{Deserialize, Serialize};

/// What the loss is multiplied by at first.
const START: f64 = 65536.0;
/// How many steps in a row must be good before the factor is doubled.
const GOOD_STEPS: u64 = 2000;
/// Where gradients overflow with this factor, smaller ones are no remedy.
const LEAST: f64 = 1.0 / START;

/// What the loss is multiplied by before gradients are found, and gradients are divided by afterwards, so that small ones
/// are not lost among the numbers of `f16`, whose least is 6e-8 (Micikevicius et al., "Mixed precision training", ICLR
/// 2018). It is as large as may be: doubled after 2000 good steps, halved where a gradient overflowed, and then the weights
/// stay as they are. These are the rules and the numbers of PyTorch's `GradScaler`; but the step is then tried again with
/// the same patches, so that a training has as many updates as steps. Powers of two change no digit.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct LossScale {
    factor: f64,
    /// Good steps since the factor changed.
    good: u64,
}

impl LossScale {
    /// At the start of a training; none where the type has the range of `f32`.
    pub(super) fn start(compute: Compute) -> Option<Self> {
        (compute == Compute::F16).then_some(LossScale { factor: START, good: 0 })
    }

    /// What the loss is multiplied by.
    pub(super) fn factor(&self) -> f64 {
        self.factor
    }

    /// After a step whose gradients are all finite.
    pub(super) fn good(&mut self) {
        self.good += 1;
        let doubled = 2.0 * self.factor;
        if self.good == GOOD_STEPS {
            self.good = 0;
            if (doubled as f32).is_finite() {
                self.factor = doubled;
            }
        }
    }

    /// After an overflow. Whether a lower factor may help.
    pub(super) fn halve(&mut self) -> bool {
        *self = LossScale { factor: 0.5 * self.factor, good: 0 };
        self.factor >= LEAST
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_doubles_after_2000_good_steps_in_a_row_and_halves_at_once() {
        let mut scale = LossScale::start(Compute::F16).unwrap();
        let good = |scale: &mut LossScale, n| (0..n).for_each(|_| scale.good());
        good(&mut scale, 1999);
        assert_eq!(scale.factor(), 65536.0);
        assert!(scale.halve());
        assert_eq!(scale.factor(), 32768.0);
        good(&mut scale, 1999);
        assert_eq!(scale.factor(), 32768.0, "the count began anew");
        good(&mut scale, 1);
        assert_eq!(scale.factor(), 65536.0);
        good(&mut scale, 4000);
        assert_eq!(scale.factor(), 262144.0);
    }

    #[test]
    fn it_stays_a_number_of_single_precision() {
        let mut scale = LossScale { factor: 2f64.powi(127), good: 1999 };
        scale.good();
        assert_eq!((scale.factor(), scale.good), (2f64.powi(127), 0));
    }

    #[test]
    fn it_does_not_fall_for_ever() {
        let mut scale = LossScale::start(Compute::F16).unwrap();
        assert_eq!((0..100).take_while(|_| scale.halve()).count(), 32);
    }

    #[test]
    fn only_the_type_with_a_short_range_has_one() {
        assert!(LossScale::start(Compute::F32).is_none() && LossScale::start(Compute::BF16).is_none());
    }
}
