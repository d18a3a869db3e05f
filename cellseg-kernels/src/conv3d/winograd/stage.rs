//! A transform along one axis of a box of vectors.

use super::maps::{MOST, Map, Transform};
use crate::simd::Lanes;
use std::array::from_fn;

/// Vectors of the largest tile.
pub(super) const VECTORS: usize = MOST * MOST * MOST;

/// Vectors between neighbours on each axis of a box of [`VECTORS`].
pub(super) const STEPS: [usize; 3] = [MOST * MOST, MOST, 1];

/// A box of vectors on its way through a tile's three transforms: one for each point or voxel of the largest tile.
pub(super) struct Vectors<L>([L; VECTORS]);

impl<L: Lanes> Vectors<L> {
    #[inline(always)]
    pub(super) fn new() -> Self {
        Vectors([L::splat(num_traits::Zero::zero()); VECTORS])
    }

    #[inline(always)]
    pub(super) fn place(&mut self) -> Place<L::Elem> {
        Place { start: self.0.as_mut_ptr().cast(), steps: STEPS.map(|s| s * L::N) }
    }

    /// The vectors of a row of the box.
    #[inline(always)]
    pub(super) fn row(&mut self, depth: usize, height: usize) -> &mut [L; MOST] {
        let at = depth * STEPS[0] + height * STEPS[1];
        // Constant extents: rows of a tile never reach beyond the box.
        self.0[at..].first_chunk_mut().expect("a row lies in the box")
    }
}

/// Where a box of vectors lies, and the numbers between neighbours on each of its axes.
#[derive(Clone, Copy)]
pub(super) struct Place<T> {
    pub(super) start: *mut T,
    pub(super) steps: [usize; 3],
}

/// Maps each line along `axis` of a box of vectors from one place to another, or to the same place; what `finish` makes of
/// the results is written. `extents` are those of the other two axes; the one at `axis` is not looked at.
///
/// # Safety
/// Every vector of the box is valid for reads at `from`, with the map's `IN` vectors along `axis`, and for writes at `to`,
/// with its `OUT`.
#[inline(always)]
unsafe fn lines<L: Lanes, M: Map>(
    axis: usize,
    extents: [usize; 3],
    from: Place<L::Elem>,
    to: Place<L::Elem>,
    finish: impl Fn(L) -> L,
) {
    let (p, q) = match axis {
        0 => (1, 2),
        1 => (0, 2),
        _ => (0, 1),
    };
    for i in 0..extents[p] {
        for j in 0..extents[q] {
            // SAFETY: the caller's promise.
            unsafe {
                let source = from.start.add(i * from.steps[p] + j * from.steps[q]);
                let target = to.start.add(i * to.steps[p] + j * to.steps[q]);
                let line: [L; MOST] = from_fn(
                    #[inline(always)]
                    |k| {
                        if k < M::IN {
                            L::load(source.add(k * from.steps[axis]))
                        } else {
                            L::splat(num_traits::Zero::zero())
                        }
                    },
                );
                let line = M::map(line);
                for (k, &x) in line.iter().enumerate().take(M::OUT) {
                    finish(x).store(target.add(k * to.steps[axis]));
                }
            }
        }
    }
}

/// Applies the transform `X` along `axis` of a box, for tiles of `m` outputs on that axis: see [`lines`].
///
/// # Safety
/// That of [`lines`].
#[inline(always)]
pub(super) unsafe fn along<L: Lanes, X: Transform>(
    axis: usize,
    m: usize,
    extents: [usize; 3],
    from: Place<L::Elem>,
    to: Place<L::Elem>,
    finish: impl Fn(L) -> L,
) {
    // SAFETY: the caller's promise.
    unsafe {
        match m {
            2 => lines::<L, X::Two>(axis, extents, from, to, finish),
            _ => lines::<L, X::Four>(axis, extents, from, to, finish),
        }
    }
}

/// What is written where results are not to be changed.
#[inline(always)]
pub(super) fn same<L>(x: L) -> L {
    x
}
