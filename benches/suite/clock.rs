//! Processor time, and the most that one core can multiply and add, and move.

use super::place::place;
use cellseg_kernels::simd::{Isa, Lanes, Routine};
use std::{
    hint::black_box,
    sync::OnceLock,
    time::{Duration, Instant},
};

/// Wall time, processor time of all threads and, where cases run on a GPU, its time between the first and the last of what
/// was queued; added up over the sections that were timed.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Stopwatch {
    pub(crate) wall: f64,
    pub(crate) processor: f64,
    pub(crate) device: f64,
}

impl Stopwatch {
    /// Runs `f` and adds its time.
    pub(crate) fn time<R>(&mut self, f: impl FnOnce() -> R) -> R {
        let (wall, processor) = (Instant::now(), processor_time());
        let result = match place().gpu() {
            None => black_box(f()),
            Some(gpu) => {
                let (result, seconds) = gpu.timed(|| Ok(f())).expect("the GPU computes");
                self.device += seconds;
                result
            }
        };
        self.processor += processor_time() - processor;
        self.wall += wall.elapsed().as_secs_f64();
        result
    }
}

/// Seconds of processor time that all threads of this process have used. It leaves out what other programs take.
fn processor_time() -> f64 {
    let mut t = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the call writes to `t`, which outlives it.
    unsafe { libc::clock_gettime(libc::CLOCK_PROCESS_CPUTIME_ID, &raw mut t) };
    t.tv_sec as f64 + t.tv_nsec as f64 * 1e-9
}

/// The least processor time of a call of `f` in half a second.
fn least(mut f: impl FnMut()) -> f64 {
    let (start, mut least) = (Instant::now(), f64::MAX);
    while start.elapsed() < Duration::from_millis(500) {
        let mut watch = Stopwatch::default();
        watch.time(&mut f);
        least = least.min(watch.processor);
    }
    least
}

/// Rounds of twelve independent multiply-adds: enough to fill the pipelines of any core there is.
struct MultiplyAdd(usize);

const CHAINS: usize = 12;

impl Routine<f32> for MultiplyAdd {
    type Output = f32;
    #[inline(always)]
    fn run<L: Lanes<Elem = f32>>(self) -> f32 {
        let (factor, addend) = (L::splat(black_box(0.999)), L::splat(black_box(0.001)));
        let mut chains: [L; CHAINS] = std::array::from_fn(|i| L::splat(black_box(i as f32)));
        for _ in 0..self.0 {
            for c in &mut chains {
                *c = c.mul_add(factor, addend);
            }
        }
        // Opaque here, or the whole computation may be moved out of the timed section.
        black_box(chains.into_iter().reduce(|a, b| a + b).map_or(0.0, L::sum))
    }
}

/// Floating point operations per second of one core: what a loop of nothing but independent fused multiply-adds reaches.
pub(crate) fn peak() -> f64 {
    static PEAK: OnceLock<f64> = OnceLock::new();
    *PEAK.get_or_init(|| {
        const ROUNDS: usize = 1_000_000;
        let isa = Isa::best();
        let seconds = least(|| {
            isa.run(MultiplyAdd(black_box(ROUNDS)));
        });
        (2 * CHAINS * isa.lanes::<f32>() * ROUNDS) as f64 / seconds
    })
}

/// Bytes per second that one core copies, read and written ones counted, from and to memory outside the caches.
pub(crate) fn bandwidth() -> f64 {
    static BANDWIDTH: OnceLock<f64> = OnceLock::new();
    *BANDWIDTH.get_or_init(|| {
        let from = vec![1u8; 1 << 28];
        let mut to = from.clone();
        2.0 * from.len() as f64 / least(|| black_box(&mut to).copy_from_slice(black_box(&from)))
    })
}
