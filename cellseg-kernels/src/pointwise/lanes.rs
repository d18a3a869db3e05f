//! Folds of a row in interleaved parts that vector lanes can hold, put together in order.

use cellseg_core::Real;

/// How many parts there are: the lanes of the widest `f32` registers.
pub(crate) const LANES: usize = 16;

/// The sum of `f` over a row.
#[inline(always)]
pub(crate) fn sum<T: Real>(xs: &[T], f: impl Fn(T) -> T) -> T {
    let mut parts = [T::zero(); LANES];
    for xs in xs.chunks(LANES) {
        parts.iter_mut().zip(xs).for_each(|(p, x)| *p += f(*x));
    }
    parts.into_iter().sum()
}

/// The sum of `f` over the pairs of numbers of two rows.
#[inline(always)]
pub(crate) fn sum_of_pairs<T: Real>(a: &[T], b: &[T], f: impl Fn(T, T) -> T) -> T {
    let mut parts = [T::zero(); LANES];
    for (a, b) in a.chunks(LANES).zip(b.chunks(LANES)) {
        parts.iter_mut().zip(a).zip(b).for_each(|((p, a), b)| *p += f(*a, *b));
    }
    parts.into_iter().sum()
}

/// The greatest number of a row that holds numbers; what is none is passed over where possible.
#[inline(always)]
pub(crate) fn max<T: Real>(xs: &[T]) -> T {
    let greater = |m: T, x: T| if x > m { x } else { m };
    let mut parts = [xs[0]; LANES];
    for xs in xs.chunks(LANES) {
        parts.iter_mut().zip(xs).for_each(|(p, x)| *p = greater(*p, *x));
    }
    parts.into_iter().fold(xs[0], greater)
}
