//! Memory for whole volumes.

use ndarray::Array3;

use crate::grid::Grid;

/// From this size on the kernel is asked for huge pages: below, a page fault costs nothing that matters.
const LARGE: usize = 4 << 20;

/// A volume of zeros (z, y, x), in raster order.
///
/// Its pages come into being when they are first written. On Linux they are asked to be huge: with pages of 4 KiB
/// the faults alone take 20 to 40 % of a pass that does little else but write.
pub(crate) fn zeros<T: Copy + Default>(grid: Grid) -> Array3<T> {
    let voxels = vec![T::default(); grid.len()];
    advise_huge_pages(&voxels);
    Array3::from_shape_vec(grid.shape(), voxels).expect("one value for each voxel of the grid")
}

/// A volume of zeros in the memory of another one that is no longer needed, which spares the faults of its pages.
pub(crate) fn zeros_in(volume: Array3<f32>) -> Array3<u32> {
    let shape = volume.dim();
    let (values, _) = volume.into_raw_vec_and_offset();
    // The standard library collects in place what has the same size.
    let voxels: Vec<u32> = values.into_iter().map(|_| 0).collect();
    Array3::from_shape_vec(shape, voxels).expect("one value for each voxel of the volume")
}

/// Asks for the cache line of an element that will soon be read; nothing happens if there is no such element.
#[inline(always)]
pub(crate) fn prefetch<T>(values: &[T], index: usize) {
    #[cfg(target_arch = "x86_64")]
    if index < values.len() {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        // SAFETY: the address lies inside the slice, and fetching it early changes nothing.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(values.as_ptr().add(index).cast()) };
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = (values, index);
}

#[cfg(target_os = "linux")]
fn advise_huge_pages<T>(voxels: &[T]) {
    let bytes = std::mem::size_of_val(voxels);
    if bytes < LARGE {
        return;
    }
    // SAFETY: `sysconf` only reads the system's constants.
    let page = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
    let Ok(page @ 1..) = usize::try_from(page) else { return };
    let start = voxels.as_ptr() as usize;
    let (first, last) = (start.next_multiple_of(page), (start + bytes) / page * page);
    // SAFETY: the whole pages from `first` to `last` lie inside the slice, and the advice changes nothing that can be
    // seen through it. Whether the kernel follows it does not matter.
    unsafe { libc::madvise(first as *mut libc::c_void, last - first, libc::MADV_HUGEPAGE) };
}

#[cfg(not(target_os = "linux"))]
fn advise_huge_pages<T>(_voxels: &[T]) {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zeros_take_the_place_of_another_volume() {
        let volume = Array3::from_elem((7, 8, 9), 1.5f32);
        let place = volume.as_ptr() as usize;
        let reused = zeros_in(volume);
        assert_eq!((reused.dim(), reused.as_ptr() as usize), ((7, 8, 9), place));
        assert!(reused.iter().all(|&value| value == 0));
    }

    #[test]
    fn small_and_large_volumes_are_zero() {
        for nz in [0, 1, 700] {
            let grid = Grid { nz, ny: 70, nx: 90 };
            let volume = zeros::<u32>(grid);
            assert_eq!(volume.dim(), (nz, 70, 90));
            assert!(volume.iter().all(|&value| value == 0));
        }
    }
}
