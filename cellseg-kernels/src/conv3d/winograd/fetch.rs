//! Hints of what is read or written soon.
//!
//! Panels of weights come from the third-level cache, and the rows of a tile lie pages apart in memory: the machine does not
//! foresee either by itself. Asking early makes 128 channels at 32^3 a fifth faster, and 16 or 64 at 64^3 a tenth.

use std::ops::Range;

/// Has the cache line at `p`, which may lie anywhere, fetched into the second-level cache, where the machine can.
#[inline(always)]
pub(super) fn fetch<T>(p: *const T) {
    #[cfg(all(target_arch = "x86_64", not(miri)))]
    // SAFETY: the instruction is part of every x86-64 machine, and does not fault wherever `p` points.
    unsafe {
        std::arch::x86_64::_mm_prefetch::<{ std::arch::x86_64::_MM_HINT_T1 }>(p.cast());
    }
    #[cfg(not(all(target_arch = "x86_64", not(miri))))]
    let _ = p;
}

/// The same for some voxels of a box that starts at `p`, with `steps` numbers between neighbours on each axis.
#[inline(always)]
pub(super) fn fetch_box<T>(p: *const T, steps: [usize; 3], [depth, height, width]: [Range<usize>; 3]) {
    for z in depth {
        for y in height.clone() {
            for x in width.clone() {
                fetch(p.wrapping_add(z * steps[0] + y * steps[1] + x * steps[2]));
            }
        }
    }
}
