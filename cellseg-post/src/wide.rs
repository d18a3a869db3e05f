//! Hot loops, compiled for several instruction sets.
//!
//! Loops are plain Rust that the compiler turns into vector instructions. It does so for the oldest processor of the
//! target unless told otherwise; [`wide!`] compiles a function for AVX2 and AVX-512 as well and calls the widest that
//! this machine has. Nothing is contracted or reordered, so all of them give the same bits.

use std::sync::OnceLock;

/// A set of vector instructions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Isa {
    Baseline,
    #[cfg(target_arch = "x86_64")]
    Avx2,
    #[cfg(target_arch = "x86_64")]
    Avx512,
}

impl Isa {
    /// The widest set that this machine has, or a narrower one that the environment variable `CELLSEG_ISA` names
    /// (`scalar`, `avx2`); found out once per process.
    #[inline]
    pub(crate) fn best() -> Self {
        static BEST: OnceLock<Isa> = OnceLock::new();
        *BEST.get_or_init(|| Self::among(std::env::var("CELLSEG_ISA").ok().as_deref()))
    }

    #[cfg(target_arch = "x86_64")]
    fn among(asked: Option<&str>) -> Self {
        let avx2 = is_x86_feature_detected!("avx2") && is_x86_feature_detected!("bmi1");
        let avx512 = avx2
            && is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx512bw")
            && is_x86_feature_detected!("avx512dq")
            && is_x86_feature_detected!("avx512vl");
        match asked {
            Some("scalar") => Self::Baseline,
            Some("avx2") if avx2 => Self::Avx2,
            _ if avx512 => Self::Avx512,
            _ if avx2 => Self::Avx2,
            _ => Self::Baseline,
        }
    }

    #[cfg(not(target_arch = "x86_64"))]
    fn among(_asked: Option<&str>) -> Self {
        Self::Baseline
    }
}

/// Defines a function whose body is compiled once for each instruction set; the widest one of this machine is called.
///
/// What the body calls must be `#[inline(always)]` to be compiled with it.
macro_rules! wide {
    ($(#[$attribute:meta])* $visibility:vis fn $name:ident($($argument:ident: $type:ty),* $(,)?)
     $(-> $output:ty)? $body:block) => {
        $(#[$attribute])*
        $visibility fn $name($($argument: $type),*) $(-> $output)? {
            #[inline(always)]
            #[allow(clippy::needless_range_loop, reason = "lanes of several arrays go together")]
            fn body($($argument: $type),*) $(-> $output)? $body

            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx2,bmi1")]
            fn avx2($($argument: $type),*) $(-> $output)? {
                body($($argument),*)
            }

            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx2,bmi1,avx512f,avx512bw,avx512dq,avx512vl")]
            fn avx512($($argument: $type),*) $(-> $output)? {
                body($($argument),*)
            }

            match $crate::wide::Isa::best() {
                $crate::wide::Isa::Baseline => body($($argument),*),
                // SAFETY: `best` has found these features on this machine.
                #[cfg(target_arch = "x86_64")]
                $crate::wide::Isa::Avx2 => unsafe { avx2($($argument),*) },
                // SAFETY: `best` has found these features on this machine.
                #[cfg(target_arch = "x86_64")]
                $crate::wide::Isa::Avx512 => unsafe { avx512($($argument),*) },
            }
        }
    };
}
pub(crate) use wide;

#[cfg(test)]
mod tests {
    use super::*;

    wide! {
        fn total(values: &[f32]) -> f32 {
            values.iter().fold(0.0, |sum, value| sum + value * 0.1)
        }
    }

    #[test]
    fn a_name_that_is_asked_for_is_never_exceeded() {
        assert_eq!(Isa::among(Some("scalar")), Isa::Baseline);
        #[cfg(target_arch = "x86_64")]
        assert_ne!(Isa::among(Some("avx2")), Isa::Avx512);
        let widest = Isa::among(None);
        assert_eq!(Isa::among(Some("no such set")), widest);
    }

    #[test]
    fn sums_have_the_bits_of_plain_rust() {
        let values: Vec<f32> = (0..1000).map(|n| (n as f32).sin()).collect();
        let mut plain = 0.0f32;
        for value in &values {
            plain += value * 0.1;
        }
        assert_eq!(total(&values).to_bits(), plain.to_bits());
    }
}
