//! Sizes as kernels of a GPU take them: 32-bit extents, blocks of a grid, bytes of shared memory.

use cellseg_core::{Buffer, Error, Result, Shape, Tensor, cuda::CudaBuffer};

fn too_large(op: &'static str, size: usize) -> Error {
    Error::argument(op, format!("{size} is more than a GPU takes at once; split the batch or use the CPU"))
}

/// A size that kernels hold in 32 bits.
///
/// # Errors
/// [`Error::Argument`] where it does not fit.
pub(crate) fn int(op: &'static str, size: usize) -> Result<i32> {
    i32::try_from(size).map_err(|_| too_large(op, size))
}

/// Three of them.
///
/// # Errors
/// As for [`int`].
pub(crate) fn ints(op: &'static str, [z, y, x]: [usize; 3]) -> Result<[i32; 3]> {
    Ok([int(op, z)?, int(op, y)?, int(op, x)?])
}

/// Blocks along x: the product of these counts.
///
/// # Errors
/// [`Error::Argument`] where they are more than a grid has, 2^31 - 1.
pub(crate) fn blocks(op: &'static str, counts: &[usize]) -> Result<u32> {
    let product = counts.iter().try_fold(1usize, |product, &count| product.checked_mul(count));
    int(op, product.unwrap_or(usize::MAX)).map(i32::cast_unsigned)
}

/// Blocks along y or z.
///
/// # Errors
/// [`Error::Argument`] where they are more than a grid has, 65,535.
pub(crate) fn few_blocks(op: &'static str, count: usize) -> Result<u32> {
    u16::try_from(count).map(u32::from).map_err(|_| too_large(op, count))
}

/// What a kernel computed beside its output, as a tensor of this shape.
///
/// # Errors
/// Those of [`Shape::new`] and [`Tensor::from_buffer`].
pub(crate) fn tensor(dims: &[usize], numbers: CudaBuffer) -> Result<Tensor> {
    Tensor::from_buffer(Shape::new(dims)?, Buffer::Cuda(numbers))
}
