//! A tensor as a view into the bytes of a storage.

use super::element::Element;

/// A tensor as the pickle describes it: a view into a storage.
#[derive(Debug)]
pub(super) struct View {
    pub(super) element: Element,
    pub(super) storage: String,
    pub(super) offset: usize,
    pub(super) shape: Vec<usize>,
    pub(super) strides: Vec<usize>,
}

/// Why a view gives no values.
pub(super) enum Bad {
    Layout(&'static str),
    Value(String),
}

impl View {
    /// The number of values.
    pub(super) fn count(&self) -> Option<usize> {
        self.shape.iter().try_fold(1usize, |count, &length| count.checked_mul(length))
    }

    /// The values in C order, from the bytes of the storage.
    pub(super) fn values(&self, storage: &[u8]) -> Result<Vec<f32>, Bad> {
        let outside = || Bad::Layout("reaches outside of its storage");
        let width = self.element.bytes();
        let count = self.count().ok_or_else(outside)?;
        if count == 0 {
            return Ok(Vec::new());
        }
        let reach =
            self.shape.iter().zip(&self.strides).try_fold(self.offset, |reach, (&length, &stride)| {
                (length - 1).checked_mul(stride).and_then(|extent| reach.checked_add(extent))
            });
        let end = reach.and_then(|last| last.checked_add(1)?.checked_mul(width)).ok_or_else(outside)?;
        if end > storage.len() {
            return Err(outside());
        }
        if self.is_contiguous() {
            let start = self.offset * width;
            return self.element.to_f32(&storage[start..start + count * width]).map_err(Bad::Value);
        }
        let mut gathered = Vec::with_capacity(count * width);
        let mut index = vec![0; self.shape.len()];
        for _ in 0..count {
            let place =
                self.offset + index.iter().zip(&self.strides).map(|(i, stride)| i * stride).sum::<usize>();
            gathered.extend_from_slice(&storage[place * width..(place + 1) * width]);
            for axis in (0..index.len()).rev() {
                index[axis] += 1;
                if index[axis] < self.shape[axis] {
                    break;
                }
                index[axis] = 0;
            }
        }
        self.element.to_f32(&gathered).map_err(Bad::Value)
    }

    fn is_contiguous(&self) -> bool {
        let mut expected = 1;
        self.shape.iter().zip(&self.strides).rev().all(|(&length, &stride)| {
            let fits = length == 1 || stride == expected;
            expected *= length;
            fits
        })
    }
}
