//! The instruction sets, and the choice among them.

use super::{Lanes, portable::Portable};
use cellseg_core::Real;
use std::sync::OnceLock;

#[cfg(target_arch = "aarch64")]
use super::neon::V128;
#[cfg(target_arch = "x86_64")]
use super::{avx2::V256, avx512::V512};

/// An algorithm over numbers of type `T` that is written once for all instruction sets.
pub trait Routine<T: Real> {
    /// What it returns.
    type Output;
    /// Runs it with the lanes `L`. Implementations say `#[inline(always)]`, as does all that they call in hot loops.
    fn run<L: Lanes<Elem = T>>(self) -> Self::Output;
}

/// [`Lanes::N`] and [`Lanes::REGISTERS`].
struct Extent;

impl<T: Real> Routine<T> for Extent {
    type Output = (usize, usize);
    #[inline(always)]
    fn run<L: Lanes<Elem = T>>(self) -> (usize, usize) {
        (L::N, L::REGISTERS)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Set {
    Scalar,
    #[cfg(target_arch = "x86_64")]
    Avx2,
    #[cfg(target_arch = "x86_64")]
    Avx512,
    #[cfg(target_arch = "aarch64")]
    Neon,
}

/// A set of vector instructions that this machine has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Isa(Set);

impl Isa {
    /// Plain Rust, compiled for any machine.
    pub const SCALAR: Isa = Isa(Set::Scalar);

    /// The sets that this machine has, the widest last.
    pub fn available() -> Vec<Isa> {
        #[allow(unused_mut, reason = "a machine of another kind has the scalar set only")]
        let mut sets = vec![Isa::SCALAR];
        #[cfg(target_arch = "x86_64")]
        {
            if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
                sets.push(Isa(Set::Avx2));
                if is_x86_feature_detected!("avx512f") {
                    sets.push(Isa(Set::Avx512));
                }
            }
        }
        #[cfg(target_arch = "aarch64")]
        sets.push(Isa(Set::Neon));
        sets
    }

    /// The widest set that this machine has, or the one that the environment variable `CELLSEG_ISA` names (`scalar`,
    /// `avx2`, `avx512`, `neon`); a name of a set that this machine lacks is passed over. Found out once per process.
    pub fn best() -> Isa {
        static BEST: OnceLock<Isa> = OnceLock::new();
        *BEST.get_or_init(|| {
            let sets = Isa::available();
            let asked = std::env::var("CELLSEG_ISA").ok();
            let named = sets.iter().find(|isa| Some(isa.name()) == asked.as_deref());
            *named.or(sets.last()).unwrap_or(&Isa::SCALAR)
        })
    }

    /// The set's name, as `CELLSEG_ISA` takes it.
    pub fn name(self) -> &'static str {
        match self.0 {
            Set::Scalar => "scalar",
            #[cfg(target_arch = "x86_64")]
            Set::Avx2 => "avx2",
            #[cfg(target_arch = "x86_64")]
            Set::Avx512 => "avx512",
            #[cfg(target_arch = "aarch64")]
            Set::Neon => "neon",
        }
    }

    /// How many numbers of type `T` a vector holds.
    pub fn lanes<T: Real>(self) -> usize {
        self.run::<T, _>(Extent).0
    }

    /// How many vectors the registers hold.
    pub fn registers(self) -> usize {
        self.run::<f32, _>(Extent).1
    }

    /// Runs `routine` with the lanes of this set.
    #[inline]
    pub fn run<T: Real, R: Routine<T>>(self, routine: R) -> R::Output {
        match self.0 {
            Set::Scalar => routine.run::<Portable<T>>(),
            // SAFETY: the only way to this value is `available`, which has found these features on this machine.
            #[cfg(target_arch = "x86_64")]
            Set::Avx2 => unsafe { with_avx2(routine) },
            // SAFETY: as above.
            #[cfg(target_arch = "x86_64")]
            Set::Avx512 => unsafe { with_avx512(routine) },
            #[cfg(target_arch = "aarch64")]
            Set::Neon => routine.run::<V128<T>>(),
        }
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
fn with_avx2<T: Real, R: Routine<T>>(routine: R) -> R::Output {
    routine.run::<V256<T>>()
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx2,fma")]
fn with_avx512<T: Real, R: Routine<T>>(routine: R) -> R::Output {
    routine.run::<V512<T>>()
}
