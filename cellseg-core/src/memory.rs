//! Host memory for tensors: an allocator that keeps what is given back, and its counters.
//!
//! Training asks for the same sizes in every step, so a buffer that is given back is kept under its exact size and
//! handed out again: no system call, no page fault, no zeroing in steady state. The cache never grows beyond the most
//! bytes that were ever in use at once, so a process holds at most twice what it needs; [`trim`] gives all of it back.
//!
//! A fresh buffer is zeroed, a reused one holds old numbers: both are initialised memory, and operations write every
//! element of their output.

use crate::{Error, Result};
use std::{
    alloc::{Layout, alloc_zeroed, dealloc},
    collections::HashMap,
    ptr::NonNull,
    sync::{Mutex, MutexGuard, PoisonError},
};

/// Alignment of every buffer in bytes: a cache line, and the widest vector register.
const ALIGN: usize = 64;

/// Bytes of tensor memory on the host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Stats {
    /// In use by tensors now.
    pub live: usize,
    /// The most that was in use at once since the start or [`reset_peak`].
    pub peak: usize,
    /// Kept for reuse.
    pub cached: usize,
    /// How often memory was asked of the system since the start: in steady state this number stands still.
    pub fresh: u64,
}

#[derive(Default)]
struct Cache {
    free: HashMap<usize, Vec<Block>>,
    stats: Stats,
    /// The most bytes ever in use at once, which [`reset_peak`] does not lower: the bound of the cache.
    most: usize,
}

static CACHE: Mutex<Option<Cache>> = Mutex::new(None);

fn with_cache<R>(f: impl FnOnce(&mut Cache) -> R) -> R {
    // A panic cannot leave the counters half updated, so a poisoned lock is still good.
    let mut guard: MutexGuard<'_, _> = CACHE.lock().unwrap_or_else(PoisonError::into_inner);
    f(guard.get_or_insert_with(Cache::default))
}

/// The counters now.
pub fn stats() -> Stats {
    with_cache(|c| c.stats)
}

/// Starts the peak counter afresh from what is in use now.
pub fn reset_peak() {
    with_cache(|c| c.stats.peak = c.stats.live);
}

/// Gives all kept memory back to the system.
pub fn trim() {
    let freed = with_cache(|c| {
        c.stats.cached = 0;
        std::mem::take(&mut c.free)
    });
    drop(freed);
}

/// Owned, aligned, initialised bytes, freed on drop.
struct Block {
    start: NonNull<u8>,
    bytes: usize,
}

// SAFETY: a block is the only owner of its bytes, which are plain memory.
unsafe impl Send for Block {}
// SAFETY: shared access only reads.
unsafe impl Sync for Block {}

impl Block {
    fn layout(bytes: usize) -> Option<Layout> {
        Layout::from_size_align(bytes.max(1), ALIGN).ok()
    }

    fn new(bytes: usize) -> Option<Self> {
        let layout = Self::layout(bytes)?;
        // SAFETY: the layout has a size of at least one.
        let start = NonNull::new(unsafe { alloc_zeroed(layout) })?;
        Some(Block { start, bytes })
    }
}

impl Drop for Block {
    fn drop(&mut self) {
        if let Some(layout) = Self::layout(self.bytes) {
            // SAFETY: `start` came from `alloc_zeroed` with this layout and is freed once.
            unsafe { dealloc(self.start.as_ptr(), layout) }
        }
    }
}

/// Bytes from the allocator, given back to it on drop.
pub(crate) struct Bytes(Option<Block>);

impl Bytes {
    pub(crate) fn new(bytes: usize) -> Result<Self> {
        let kept = with_cache(|c| {
            let block = c.free.get_mut(&bytes).and_then(Vec::pop);
            if block.is_some() {
                c.stats.cached -= bytes;
            }
            block
        });
        let fresh = kept.is_none();
        let block = match kept.or_else(|| Block::new(bytes)) {
            Some(block) => block,
            None => {
                trim();
                Block::new(bytes).ok_or_else(|| Error::Memory { bytes, device: "the CPU".into() })?
            }
        };
        with_cache(|c| {
            c.stats.fresh += u64::from(fresh);
            c.stats.live += bytes;
            c.stats.peak = c.stats.peak.max(c.stats.live);
            c.most = c.most.max(c.stats.live);
        });
        Ok(Bytes(Some(block)))
    }

    fn block(&self) -> &Block {
        self.0.as_ref().expect("the block is only taken out on drop")
    }

    pub(crate) fn len(&self) -> usize {
        self.block().bytes
    }

    pub(crate) fn start(&self) -> NonNull<u8> {
        self.block().start
    }
}

impl Drop for Bytes {
    fn drop(&mut self) {
        let Some(block) = self.0.take() else { return };
        let surplus = with_cache(|c| {
            c.stats.live -= block.bytes;
            if c.stats.cached + block.bytes > c.most {
                return Some(block);
            }
            c.stats.cached += block.bytes;
            c.free.entry(block.bytes).or_default().push(block);
            None
        });
        drop(surplus); // outside the lock: giving pages back takes its time
    }
}
