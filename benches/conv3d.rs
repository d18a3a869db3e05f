//! The convolution of volumes and its gradients, beside the most that this machine's cores can multiply and add.
//!
//! `cargo bench --bench conv3d` prints, for the layers of `cellseg_kernels::conv3d::cases`, the best wall time of several
//! runs, GFLOP per second of processor time, and the share of the peak: what a loop of nothing but independent fused
//! multiply-adds reaches on one core in the same run. Processor time leaves out what other programs take, and counts
//! threads that wait for others. Words after `--` pick layers by the text of their row.
//!
//! Measured on two Zen 5 cores with AVX-512 while other programs ran on them (peak 275 to 290 GFLOP/s per core), as shares
//! of the peak:
//!
//! | layer | forward | data gradient | weight gradient |
//! |---|---|---|---|
//! | 64 -> 64 at 64^3 | 97 % | 92 % | 88 % |
//! | 16 -> 16 at 64^3 | 83 % | 83 % | 78 % |
//! | 32 -> 32 at 32^3 | 93 % | 92 % | 88 % |
//! | 128 -> 128 at 32^3 | 92 % | 92 % | 84 % |
//! | 64 -> 64 at 16^3 | 99 % | 98 % | 94 % |
//! | 512 -> 512 at 8^3 | 93 % | 80 % | 74 % |
//! | 1 -> 16 at 64^3 | 38 % | 22 % | 25 % |
//! | 1 -> 64 at 64^3 | 37 % | 16 % | 45 % |

use cellseg_core::{Result, Tape, Tensor};
use cellseg_kernels::{
    conv3d::{
        cases::{Case, LAYERS},
        conv3d,
    },
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

/// Forward, data gradient, weight gradient.
fn times(case: &Case) -> Result<[Best; 3]> {
    let (x, w, grad) = (filled(&case.x())?, filled(&case.w())?, filled(&case.y())?);
    let run = |x: &Tensor, w: &Tensor| conv3d(x, w, None, &case.settings);
    let gradient = |x: &Tensor, w: &Tensor| {
        let prepare = || {
            let tape = Tape::new();
            Ok((run(&x.on(&tape), w)?, tape))
        };
        best(prepare, |(y, tape)| tape.backward_from(&y, grad.clone()).map(|g| drop(black_box(g))))
    };
    let forward = best(|| Ok(()), |()| run(&x, &w).map(|y| drop(black_box(y))))?;
    Ok([forward, gradient(&x.clone().trainable(), &w)?, gradient(&x, &w.clone().trainable())?])
}

fn main() -> Result<()> {
    let words: Vec<String> = std::env::args().skip(1).filter(|a| !a.starts_with('-')).collect();
    let peak = peak()?;
    println!(
        "{} threads, {}, peak {:.0} GFLOP/s per core\n\n{:<42} {:>24} {:>24} {:>24}",
        rayon::current_num_threads(),
        Isa::best().name(),
        peak / 1e9,
        "layer",
        "forward",
        "data gradient",
        "weight gradient"
    );
    for case in LAYERS {
        let row = format!("{:?} * {:?}", case.x(), case.w());
        if !words.is_empty() && !words.iter().any(|w| row.contains(w.as_str())) {
            continue;
        }
        print!("{row:<42}");
        for t in times(case)? {
            let rate = case.flops() / t.processor;
            print!(" {:>7.2} ms {:>5.0} {:>4.0} %", t.wall * 1e3, rate / 1e9, 100.0 * rate / peak);
        }
        println!();
    }
    Ok(())
}
