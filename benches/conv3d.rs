//! The convolutions of volumes, plain and transposed, and their gradients, beside the most that this machine's cores can multiply and add.
//!
//! `cargo bench --bench conv3d` prints, for the layers of the operations' `cases`, the best wall time of several
//! runs, GFLOP per second of processor time, and the share of the peak: what a loop of nothing but independent fused
//! multiply-adds reaches on one core in the same run. Processor time leaves out what other programs take, and counts
//! threads that wait for others. Words after `--` pick layers by the text of their row.
//!
//! Measured with two threads on a quiet machine of two Zen 5 cores with AVX-512 (peak 285 GFLOP/s per core), wall time and
//! share of the peak:
//!
//! | layer | forward | data gradient | weight gradient |
//! |---|---|---|---|
//! | 64 -> 64 at 64^3 | 111 ms, 92 % | 118 ms, 87 % | 121 ms, 85 % |
//! | 16 -> 16 at 64^3 | 8.7 ms, 74 % | 8.5 ms, 75 % | 8.6 ms, 75 % |
//! | 32 -> 32 at 32^3 | 3.6 ms, 90 % | 3.6 ms, 88 % | 3.9 ms, 84 % |
//! | 128 -> 128 at 32^3 | 54 ms, 94 % | 55 ms, 94 % | 60 ms, 86 % |
//! | 64 -> 64 at 16^3 | 1.7 ms, 97 % | 1.7 ms, 96 % | 1.7 ms, 92 % |
//! | 512 -> 512 at 8^3 | 14 ms, 92 % | 17 ms, 79 % | 18 ms, 76 % |
//! | 1 -> 16 at 64^3 | 1.1 ms, 35 % | 2.0 ms, 20 % | 1.7 ms, 24 % |
//! | 1 -> 64 at 64^3 | 4.7 ms, 35 % | 10 ms, 16 % | 4.0 ms, 42 % |
//! | 128 -> 64, transposed 2/2, at 32^3 | 11 ms, 70 % | 16 ms, 46 % | 12 ms, 64 % |

use cellseg_core::{Result, Tape, Tensor};
use cellseg_kernels::{
    conv_transpose3d::{self, conv_transpose3d},
    conv3d::{self, conv3d},
    simd::{Isa, Lanes, Routine},
};
use std::{
    hint::black_box,
    time::{Duration, Instant},
};

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

/// Seconds of processor time that all threads of this process have used.
fn processor_time() -> f64 {
    let mut t = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the call writes to `t`, which outlives it.
    unsafe { libc::clock_gettime(libc::CLOCK_PROCESS_CPUTIME_ID, &raw mut t) };
    t.tv_sec as f64 + t.tv_nsec as f64 * 1e-9
}

/// The shortest of several runs.
#[derive(Clone, Copy)]
struct Best {
    wall: f64,
    processor: f64,
}

/// Calls `prepare`, and `f` with what it returns, several times, and times `f`.
fn best<P>(mut prepare: impl FnMut() -> Result<P>, mut f: impl FnMut(P) -> Result<()>) -> Result<Best> {
    let mut best = Best { wall: f64::MAX, processor: f64::MAX };
    let (start, mut runs) = (Instant::now(), 0);
    while runs < 3 || (runs < 50 && start.elapsed() < Duration::from_secs(1)) {
        let prepared = prepare()?;
        let (wall, processor) = (Instant::now(), processor_time());
        f(prepared)?;
        best.processor = best.processor.min(processor_time() - processor);
        best.wall = best.wall.min(wall.elapsed().as_secs_f64());
        runs += 1;
    }
    Ok(best)
}

/// Floating point operations per second of one core.
fn peak() -> Result<f64> {
    const ROUNDS: usize = 2_000_000;
    let isa = Isa::best();
    let best = best(
        || Ok(()),
        |()| {
            isa.run(MultiplyAdd(black_box(ROUNDS)));
            Ok(())
        },
    )?;
    Ok((2 * CHAINS * isa.lanes::<f32>() * ROUNDS) as f64 / best.processor)
}

fn filled(dims: &[usize]) -> Result<Tensor> {
    Tensor::build(dims, |xs: &mut [f32]| {
        // Any numbers of ordinary size will do, as long as sums of products do not vanish or overflow.
        xs.iter_mut().enumerate().for_each(|(i, x)| *x = (i * 7919 % 1009) as f32 / 1009.0 - 0.5);
        Ok(())
    })
}

/// An operation on volumes and a kernel.
type Computation<'a> = Box<dyn Fn(&Tensor, &Tensor) -> Result<Tensor> + 'a>;

/// A layer to time.
struct Layer<'a> {
    name: String,
    x: Tensor,
    w: Tensor,
    grad: Tensor,
    flops: f64,
    run: Computation<'a>,
}

impl Layer<'_> {
    /// Forward, data gradient, weight gradient.
    fn times(&self) -> Result<[Best; 3]> {
        let gradient = |x: &Tensor, w: &Tensor| {
            let prepare = || {
                let tape = Tape::new();
                Ok(((self.run)(&x.on(&tape), w)?, tape))
            };
            best(prepare, |(y, tape)| tape.backward_from(&y, self.grad.clone()).map(|g| drop(black_box(g))))
        };
        let (x, w) = (&self.x, &self.w);
        let forward = best(|| Ok(()), |()| (self.run)(x, w).map(|y| drop(black_box(y))))?;
        Ok([forward, gradient(&x.clone().trainable(), w)?, gradient(x, &w.clone().trainable())?])
    }
}

fn layer<'a>(
    [x, w, y]: [[usize; 5]; 3],
    sign: &str,
    flops: f64,
    run: impl Fn(&Tensor, &Tensor) -> Result<Tensor> + 'a,
) -> Result<Layer<'a>> {
    let name = format!("{x:?} {sign} {w:?}");
    Ok(Layer { name, x: filled(&x)?, w: filled(&w)?, grad: filled(&y)?, flops, run: Box::new(run) })
}

fn main() -> Result<()> {
    let words: Vec<String> = std::env::args().skip(1).filter(|a| !a.starts_with('-')).collect();
    let peak = peak()?;
    println!(
        "{} threads, {}, peak {:.0} GFLOP/s per core\n\n{:<44} {:>24} {:>24} {:>24}",
        rayon::current_num_threads(),
        Isa::best().name(),
        peak / 1e9,
        "layer (^T: transposed)",
        "forward",
        "data gradient",
        "weight gradient"
    );
    let plain = conv3d::cases::LAYERS.iter().map(|case| {
        layer([case.x(), case.w(), case.y()], "*", case.flops(), |x, w| conv3d(x, w, None, &case.settings))
    });
    let transposed = conv_transpose3d::cases::LAYERS.iter().map(|case| {
        layer([case.x(), case.w(), case.y()], "^T", case.flops(), |x, w| {
            conv_transpose3d(x, w, None, &case.settings)
        })
    });
    for layer in plain.chain(transposed) {
        let layer = layer?;
        if !words.is_empty() && !words.iter().any(|w| layer.name.contains(w.as_str())) {
            continue;
        }
        print!("{:<44}", layer.name);
        for t in layer.times()? {
            let rate = layer.flops / t.processor;
            print!(" {:>7.2} ms {:>5.0} {:>4.0} %", t.wall * 1e3, rate / 1e9, 100.0 * rate / peak);
        }
        println!();
    }
    Ok(())
}
