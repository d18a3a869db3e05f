//! What is computed from a tensor's numbers once and used again.

use crate::Result;
use std::{
    any::Any,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// How many values are kept for the same numbers: uses of a tensor that need different ones at the same time are rare.
const MOST: usize = 2;

/// Values of any types, the oldest first.
#[derive(Default)]
pub(crate) struct Derived(Mutex<Vec<Arc<dyn Any + Send + Sync>>>);

impl Derived {
    fn values(&self) -> MutexGuard<'_, Vec<Arc<dyn Any + Send + Sync>>> {
        // A push or a removal cannot be left half done, so a poisoned lock is still good.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn find<K: Send + Sync + 'static>(
        values: &[Arc<dyn Any + Send + Sync>],
        wanted: impl Fn(&K) -> bool,
    ) -> Option<Arc<K>> {
        values.iter().find_map(|v| v.clone().downcast::<K>().ok().filter(|v| wanted(v)))
    }

    pub(crate) fn get<K: Send + Sync + 'static>(
        &self,
        wanted: impl Fn(&K) -> bool,
        build: impl FnOnce() -> Result<K>,
    ) -> Result<Arc<K>> {
        if let Some(found) = Self::find(&self.values(), &wanted) {
            return Ok(found);
        }
        // Without the lock, so that building may use threads that wait for it. Another may have built the same by now.
        let built = Arc::new(build()?);
        let mut values = self.values();
        if let Some(found) = Self::find(&values, &wanted) {
            return Ok(found);
        }
        if values.len() >= MOST {
            values.remove(0);
        }
        values.push(built.clone());
        Ok(built)
    }

    pub(crate) fn clear(&mut self) {
        self.0.get_mut().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

#[cfg(test)]
mod tests {
    use crate::{Result, Tensor};

    fn sum(t: &Tensor, builds: &mut usize) -> Result<f32> {
        let sum = t.derived(
            |_: &f32| true,
            || {
                *builds += 1;
                Ok(t.as_slice::<f32>()?.iter().sum())
            },
        )?;
        Ok(*sum)
    }

    #[test]
    fn it_is_built_once_for_all_clones_of_a_value_and_again_after_a_write() -> Result<()> {
        let mut builds = 0;
        let mut t = Tensor::from_slice(&[1.0f32, 2.0], &[2])?;
        let before = t.clone();
        assert_eq!((sum(&t, &mut builds)?, sum(&before.detached(), &mut builds)?, builds), (3.0, 3.0, 1));
        // The clone holds the old numbers, so the write goes to a copy.
        t.as_mut_slice::<f32>()?[0] = 5.0;
        assert_eq!((sum(&t, &mut builds)?, sum(&before, &mut builds)?, builds), (7.0, 3.0, 2));
        // Nothing else holds these: the write goes to the same memory.
        t.as_mut_slice::<f32>()?[0] = 6.0;
        assert_eq!((sum(&t, &mut builds)?, builds), (8.0, 3));
        Ok(())
    }

    #[test]
    fn values_of_other_types_or_not_wanted_are_not_found_and_the_oldest_is_dropped() -> Result<()> {
        let t = Tensor::scalar(1.0f32)?;
        let get = |n: u32| t.derived(move |x: &u32| *x == n, move || Ok(n));
        let first = get(1)?;
        assert!(std::sync::Arc::ptr_eq(&first, &get(1)?));
        assert_eq!(*t.derived(|_: &u64| true, || Ok(7u64))?, 7);
        get(2)?;
        assert!(!std::sync::Arc::ptr_eq(&first, &get(1)?));
        Ok(())
    }

    #[test]
    fn it_is_freed_with_the_numbers() -> Result<()> {
        let t = Tensor::scalar(1.0f32)?;
        let weak = std::sync::Arc::downgrade(&t.derived(|_: &Vec<u8>| true, || Ok(vec![1u8]))?);
        assert!(weak.upgrade().is_some());
        drop(t);
        assert!(weak.upgrade().is_none());
        Ok(())
    }
}
