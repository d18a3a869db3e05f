//! Vector lanes: one small trait, an implementation per instruction set, chosen once at run time.
//!
//! An algorithm is a [`Routine`]: a value with its arguments and a `run` that is generic over [`Lanes`]. [`Isa::run`]
//! runs it with the lanes of one instruction set, inside a function that is compiled for that set, so that plain loops
//! in the routine are compiled for it too. That works only for what is inlined into the routine: every function that it
//! calls in its hot part says `#[inline(always)]`.
//!
//! ```
//! use cellseg_core::Real;
//! use cellseg_kernels::simd::{Isa, Lanes, Routine};
//!
//! /// The sum of some numbers.
//! struct Sum<'a, T>(&'a [T]);
//!
//! impl<T: Real> Routine<T> for Sum<'_, T> {
//!     type Output = T;
//!     #[inline(always)]
//!     fn run<L: Lanes<Elem = T>>(self) -> T {
//!         let mut sum = L::splat(T::zero());
//!         for x in self.0.chunks(L::N) {
//!             sum = sum + L::from_slice(x);
//!         }
//!         sum.sum()
//!     }
//! }
//!
//! assert_eq!(Isa::best().run(Sum(&[1.0f32, 2.0, 3.0])), 6.0);
//! ```

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
mod isa;
mod lanes;
#[cfg(target_arch = "aarch64")]
mod neon;
mod portable;
mod prefetch;
#[cfg(test)]
mod tests;
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
mod vector;

pub use isa::{Isa, Routine};
pub use lanes::Lanes;
pub(crate) use lanes::WIDEST;
pub(crate) use prefetch::{LINE, prefetch, prefetch_later};
