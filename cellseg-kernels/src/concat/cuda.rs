//! Copies of channels on a GPU.

use crate::walk::{pack, walk};
use cellseg_core::{
    Result,
    cuda::{Arguments, Cuda, CudaBuffer, Source, Value},
    cuda_source,
};
use std::sync::Arc;

const COLUMNS: Source = cuda_source!("concat/columns.cu");

/// Which columns are copied: how many, the numbers of a row of the matrix that is read and the first column there, and the
/// same for the one that is written.
pub(super) struct Columns {
    pub(super) count: usize,
    pub(super) from: (usize, usize),
    pub(super) to: (usize, usize),
}

/// The same as the kernel takes it.
#[repr(C)]
#[derive(Clone, Copy)]
struct Geometry {
    rows: i64,
    count: i64,
    from_row: i64,
    from_first: i64,
    to_row: i64,
    to_first: i64,
    width: i32,
}
// SAFETY: a `repr(C)` struct of numbers, the kernel's `Columns`.
unsafe impl Value for Geometry {}

/// Copies columns from one matrix to another of as many rows.
pub(super) fn copy(
    device: &Arc<Cuda>,
    columns: Columns,
    from: &CudaBuffer,
    to: &mut CudaBuffer,
) -> Result<()> {
    let Columns { count, from: (from_row, from_first), to: (to_row, to_first) } = columns;
    if count == 0 || from.is_empty() {
        return Ok(());
    }
    let (rows, pack) = (from.len() / from_row, pack(from.dtype()));
    let are_packs = [count, from_row, from_first, to_row, to_first].iter().all(|x| x.is_multiple_of(pack));
    let width = if are_packs { pack } else { 1 };
    let geometry = Geometry {
        rows: rows as i64,
        count: count as i64,
        from_row: from_row as i64,
        from_first: from_first as i64,
        to_row: to_row as i64,
        to_first: to_first as i64,
        width: width as i32,
    };
    let defines = [("REAL", Cuda::real("concat", from.dtype())?)];
    let launch = walk(device, &COLUMNS, &defines, "columns", rows * count / width);
    // SAFETY: both matrices have this many rows, and the columns lie within theirs.
    unsafe { device.launch(launch, Arguments::new().output(to).input(from).value(geometry)) }
}
