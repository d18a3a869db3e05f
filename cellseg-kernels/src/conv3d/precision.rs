//! How exact convolutions are.

use std::sync::OnceLock;

/// What may be traded for speed.
///
/// Either way results depend neither on the number of threads nor on how often they are computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Precision {
    /// Sums may be put together in another way than the definition's, by Winograd's algorithm where it is faster.
    ///
    /// A number that is not finite spreads to all outputs of the tiles of up to 4 x 4 x 4 voxels that read it, and a very
    /// large one takes digits from its neighbours there: errors are relative to a tile's largest numbers. Which tiles are
    /// used depends on the extents and the size of the batch. Where weights do not change between calls, as in inference,
    /// their transforms are kept with them: 2.4 to 8 times the memory of the kernel, freed with it or when it is written to.
    ///
    /// Relative l2 errors in single precision, against double, stay below 2e-5 for outputs and data gradients and 5e-5 for
    /// weight gradients of noise. With mean 0 they are 1.6e-6 and 3.1e-6 for 64 channels at 64^3, 3.2e-6 and 1.7e-6 for 256
    /// at 16^3; with a mean of five standard deviations, less.
    ///
    /// On a GPU of capability 8.0 and later, products of single-precision numbers are made of their first 11 bits (tf32)
    /// and added up in single precision, where channels come by four: relative l2 errors stay below 1e-3.
    Fast,
    /// Products of the definition alone, added up: 0.7e-6 and 1.9e-6 for 64 channels at 64^3, 1.4e-6 and 0.8e-6 for 256 at
    /// 16^3. On a GPU, of single-precision numbers as they are.
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
