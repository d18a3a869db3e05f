//! What is timed: one list of cases, read by the criterion benches and by `race`.

// Each bench is a crate of its own and uses a part of this.
#![allow(dead_code)]

pub(crate) mod attention;
pub(crate) mod clock;
pub(crate) mod convolutions;
pub(crate) mod criterion;
pub(crate) mod differentiable;
pub(crate) mod inputs;
pub(crate) mod losses;
pub(crate) mod networks;
pub(crate) mod place;
pub(crate) mod pointwise;
pub(crate) mod swin_unetr;

use cellseg_core::Tensor;
use clock::Stopwatch;
use serde_json::Value;

/// Whatever goes wrong in a bench ends it.
pub(crate) type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

/// One call of what is timed: prepares, times with the stopwatch, and returns what was computed.
pub(crate) type Round = Box<dyn FnMut(&mut Stopwatch) -> Result<Vec<Tensor>>>;

/// What a call has to do at least, to tell how far it is from the limits of the machine.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Work {
    /// Floating point operations of the textbook's algorithm. One that needs fewer can beat the peak.
    Flops(f64),
    /// Bytes of inputs and outputs, each moved once.
    Bytes(f64),
}

/// Something to time.
pub(crate) struct Case {
    /// The name in reports.
    pub(crate) name: String,
    /// The same for a peer, who builds it from this.
    pub(crate) what: Value,
    pub(crate) work: Work,
    /// Allocates what a round needs.
    pub(crate) prepare: Box<dyn Fn() -> Result<Round>>,
}

/// The cases of single operations.
pub(crate) fn operations() -> Vec<Case> {
    [convolutions::cases(), pointwise::cases(), attention::cases(), losses::cases()]
        .into_iter()
        .flatten()
        .collect()
}
