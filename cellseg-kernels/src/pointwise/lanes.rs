//! Folds of a row in interleaved parts that vector lanes can hold, put together in order.

use cellseg_core::Real;

/// How many parts there are: the lanes of the widest `f32` registers.
const LANES: usize = 16;

/// Numbers that are added up in their own type before the sum is widened: few enough to round little.
const BLOCK: usize = 256;

/// The sum of `f` over a row.
#[inline(always)]
pub(crate) fn sum<T: Real>(xs: &[T], f: impl Fn(T) -> T) -> T {
    let mut parts = [T::zero(); LANES];
    let (whole, rest) = xs.as_chunks::<LANES>();
    for xs in whole {
        for (part, x) in parts.iter_mut().zip(xs) {
            *part += f(*x);
        }
    }
    let rest: T = rest.iter().map(|x| f(*x)).sum();
    parts.into_iter().sum::<T>() + rest
}

/// The sum of `f` over the pairs of numbers of two rows.
#[inline(always)]
pub(crate) fn sum_of_pairs<T: Real>(a: &[T], b: &[T], f: impl Fn(T, T) -> T) -> T {
    let mut parts = [T::zero(); LANES];
    let ((whole_a, rest_a), (whole_b, rest_b)) = (a.as_chunks::<LANES>(), b.as_chunks::<LANES>());
    for (a, b) in whole_a.iter().zip(whole_b) {
        for ((part, a), b) in parts.iter_mut().zip(a).zip(b) {
            *part += f(*a, *b);
        }
    }
    let rest: T = rest_a.iter().zip(rest_b).map(|(a, b)| f(*a, *b)).sum();
    parts.into_iter().sum::<T>() + rest
}

/// The sum of `f` over the pairs of numbers of two long rows, in double precision.
#[inline(always)]
pub(crate) fn long_sum_of_pairs<T: Real>(a: &[T], b: &[T], f: impl Fn(T, T) -> T) -> f64 {
    a.chunks(BLOCK).zip(b.chunks(BLOCK)).map(|(a, b)| sum_of_pairs(a, b, &f).wide()).sum()
}

/// The greatest number of a row that holds numbers; what is none is passed over where possible.
#[inline(always)]
pub(crate) fn max<T: Real>(xs: &[T]) -> T {
    let greater = |m: T, x: T| if x > m { x } else { m };
    let mut parts = [xs[0]; LANES];
    let (whole, rest) = xs.as_chunks::<LANES>();
    for xs in whole {
        for (part, x) in parts.iter_mut().zip(xs) {
            *part = greater(*part, *x);
        }
    }
    parts.iter().chain(rest).copied().fold(xs[0], greater)
}
