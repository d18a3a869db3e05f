//! ndarray at the edge: from an array and back to one.

use crate::{Element, Error, Result, Tensor};
use ndarray::{ArrayD, ArrayView, Dimension, IxDyn};

impl Tensor {
    /// A tensor on the CPU with the numbers of an array of any memory order, copied into the order of its axes.
    ///
    /// # Errors
    /// [`Error::Argument`] where the array has more than [`crate::MAX_RANK`] axes.
    pub fn from_ndarray<T: Element, D: Dimension>(array: ArrayView<'_, T, D>) -> Result<Self> {
        match array.as_slice() {
            Some(xs) => Self::from_slice(xs, array.shape()),
            None => Self::build(array.shape(), |out: &mut [T]| {
                for (o, x) in out.iter_mut().zip(array.iter()) {
                    *o = *x;
                }
                Ok(())
            }),
        }
    }

    /// A copy of the numbers as an array, wherever they are.
    ///
    /// # Errors
    /// [`Error::DType`] where they are not of type `T`.
    pub fn to_ndarray<T: Element>(&self) -> Result<ArrayD<T>> {
        ArrayD::from_shape_vec(IxDyn(self.shape().dims()), self.to_vec()?)
            .map_err(|e| Error::argument("to_ndarray", e.to_string()))
    }
}
