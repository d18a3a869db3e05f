//! Extents of a tensor.

use crate::{Error, Result};
use std::fmt;

/// The most axes that a tensor can have.
pub const MAX_RANK: usize = 6;

/// Extents of a tensor, outermost axis first: `Copy`, at most [`MAX_RANK`] axes, no allocation.
///
/// A scalar has no axis and counts one element.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Shape {
    dims: [usize; MAX_RANK],
    rank: u8,
}

impl Shape {
    /// A shape of these extents.
    ///
    /// # Errors
    /// More than [`MAX_RANK`] axes, or more elements than memory can address.
    pub fn new(dims: &[usize]) -> Result<Self> {
        if dims.len() > MAX_RANK {
            return Err(Error::argument(
                "shape",
                format!("{dims:?} has {} axes; at most {MAX_RANK} are supported", dims.len()),
            ));
        }
        // The product is bounded in bytes of the widest type, so that no later size computation can overflow.
        let bytes = dims.iter().try_fold(size_of::<f64>(), |n, &d| n.checked_mul(d));
        if bytes.is_none_or(|b| b > isize::MAX as usize) {
            return Err(Error::argument(
                "shape",
                format!("{dims:?} holds more elements than memory can address"),
            ));
        }
        let mut all = [1; MAX_RANK];
        all[..dims.len()].copy_from_slice(dims);
        Ok(Shape { dims: all, rank: dims.len() as u8 })
    }

    /// The shape of a single number.
    pub const fn scalar() -> Self {
        Shape { dims: [1; MAX_RANK], rank: 0 }
    }

    /// The extents, outermost first.
    pub fn dims(&self) -> &[usize] {
        &self.dims[..self.rank as usize]
    }

    /// How many axes there are.
    pub fn rank(&self) -> usize {
        self.rank as usize
    }

    /// How many elements there are.
    pub fn count(&self) -> usize {
        self.dims().iter().product()
    }

    /// The extent of the last axis: the channels, in the channels-last layout. One for a scalar.
    pub fn channels(&self) -> usize {
        self.dims().last().copied().unwrap_or(1)
    }

    /// The extents `[n, d, h, w, c]` of a batch of volumes.
    ///
    /// # Errors
    /// Where there are not exactly five axes; the message names `op`.
    pub fn volumes(&self, op: &'static str) -> Result<[usize; 5]> {
        self.dims().try_into().map_err(|_| {
            Error::argument(op, format!("{self:?} is not a batch of volumes [n, d, h, w, c] with five axes"))
        })
    }
}

impl fmt::Debug for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.dims())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shape_tells_its_extents() {
        let s = Shape::new(&[2, 3, 5, 7, 11]).unwrap();
        assert_eq!(
            (s.rank(), s.count(), s.channels(), s.volumes("x").unwrap()),
            (5, 2310, 11, [2, 3, 5, 7, 11])
        );
        assert_eq!((Shape::scalar().count(), Shape::scalar().rank()), (1, 0));
        assert_eq!(Shape::new(&[4, 0]).unwrap().count(), 0);
    }

    #[test]
    fn too_many_axes_or_elements_are_errors() {
        assert!(Shape::new(&[1; 7]).unwrap_err().to_string().contains("7 axes"));
        assert!(Shape::new(&[usize::MAX, 2]).is_err());
        assert!(Shape::new(&[1 << 40, 1 << 40]).is_err());
        let why = Shape::new(&[3, 4]).unwrap().volumes("conv3d").unwrap_err().to_string();
        assert!(why.contains("conv3d") && why.contains("[3, 4]"), "{why}");
    }
}
