//! How exact convolutions are.

use std::sync::OnceLock;

/// What may be traded for speed.
///
/// Either way results depend neither on the number of threads nor on how often they are computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Precision {
    /// Sums may be taken in another order than the definition's, by Winograd's algorithm where it is faster. Relative
    /// l2 errors in single precision stay below 2e-5 for outputs and data gradients and below 5e-5 for weight gradients;
    /// for the layers of the networks here they are about 2e-6.
    Fast,
    /// Products of the definition alone, added up: relative l2 errors of about 5e-7.
    Strict,
}

impl Default for Precision {
    /// `Fast`, unless the environment variable `CELLSEG_PRECISION` is `strict`. Found out once per process.
    fn default() -> Self {
        static DEFAULT: OnceLock<Precision> = OnceLock::new();
        *DEFAULT.get_or_init(|| match std::env::var("CELLSEG_PRECISION").as_deref() {
            Ok("strict") => Precision::Strict,
            _ => Precision::Fast,
        })
    }
}
