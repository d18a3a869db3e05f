//! Conversions over all numbers of 16 bits against the crate `half`, random words against `cellseg-core`, exchanges and sums
//! against their definitions.

use crate::{Run, download, room, trial, upload};
use cellseg_core::{
    DType, Element,
    cuda::{Arguments, Source},
};
use half::{bf16, f16};
use libtest_mimic::Trial;

const SOURCE: Source = Source { name: "numbers.cu", text: include_str!("../kernels/numbers.cu") };
const F16: &[(&str, &str)] = &[("REAL", "f16")];
const BF16: &[(&str, &str)] = &[("REAL", "bf16")];

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial("every f16 widens exactly", || every_half_widens(F16, f16::from_bits, f16::to_f32)),
        trial("every bf16 widens exactly", || every_half_widens(BF16, bf16::from_bits, bf16::to_f32)),
        trial("f32 rounds to the nearest f16", || {
            rounds_to_nearest(F16, f16::from_f32, f16::to_f32, f16::from_bits)
        }),
        trial("f32 rounds to the nearest bf16", || {
            rounds_to_nearest(BF16, bf16::from_f32, bf16::to_f32, bf16::from_bits)
        }),
        trial("f32 rounds to the nearest tf32, ties away from zero", rounds_to_tf32),
        trial("random words are those of the library", random_words_are_those_of_the_library),
        trial("exchanges and sums follow their definitions", exchanges_follow_their_definitions),
        trial("threads that left are waited for by nobody", threads_that_left_are_not_waited_for),
    ]
}

/// The kernel `name` over numbers.
fn map<I: Element, O: Element>(
    name: &'static str,
    defines: &'static [(&'static str, &'static str)],
    input: &[I],
) -> Vec<O> {
    let mut out = room(O::DTYPE, input.len());
    let there = upload(input);
    let arguments = Arguments::new().output(&mut out).input(&there).value(input.len() as i32);
    Run { defines, blocks: 3, ..Run::new(&SOURCE, name) }.go(arguments).unwrap();
    download(&out)
}

fn every_half_widens<T: Element>(
    defines: &'static [(&'static str, &'static str)],
    from_bits: fn(u16) -> T,
    to_f32: fn(T) -> f32,
) {
    let all: Vec<T> = (0..=u16::MAX).map(from_bits).collect();
    for (&x, got) in all.iter().zip(map::<T, f32>("widen", defines, &all)) {
        let expected = to_f32(x);
        assert!(
            got.to_bits() == expected.to_bits() || (got.is_nan() && expected.is_nan()),
            "{expected} {got}"
        );
    }
}

/// All numbers of 16 bits, what lies half way between neighbours, and what lies just beside that.
fn rounds_to_nearest<T: Element + PartialEq>(
    defines: &'static [(&'static str, &'static str)],
    nearest: fn(f32) -> T,
    to_f32: fn(T) -> f32,
    from_bits: fn(u16) -> T,
) {
    let mut xs =
        vec![f32::INFINITY, f32::NEG_INFINITY, f32::MAX, f32::MIN_POSITIVE, 1e-45, 65_519.996, 65_520.0];
    for bits in 0..0x7fff {
        let (x, above) = (to_f32(from_bits(bits)), to_f32(from_bits(bits + 1)));
        // Exact: one bit more than a 16-bit number has. Beyond the largest lies what would be the next power of two.
        let middle = if above.is_infinite() {
            x + (x - to_f32(from_bits(bits - 1))) / 2.0
        } else {
            x / 2.0 + above / 2.0
        };
        for y in [
            x,
            middle,
            f32::from_bits(middle.to_bits() + 1),
            f32::from_bits(middle.to_bits().saturating_sub(1)),
        ] {
            xs.extend([y, -y]);
        }
    }
    let finite: Vec<f32> = xs.into_iter().filter(|x| !x.is_nan()).collect();
    let got = map::<f32, T>("round", defines, &finite);
    for (&x, got) in finite.iter().zip(got) {
        assert!(
            to_f32(got).to_bits() == to_f32(nearest(x)).to_bits(),
            "{x:e}: {} {}",
            to_f32(got),
            to_f32(nearest(x))
        );
    }
    let nans = map::<f32, T>("round", defines, &[f32::NAN, -f32::NAN, f32::from_bits(0x7f80_0001)]);
    assert!(nans.into_iter().all(|x| to_f32(x).is_nan()));
}

fn rounds_to_tf32() {
    let one = |bits: u32| f32::from_bits(bits);
    // Ten bits of fraction stay: the last kept bit of 1.0 is 2^-10.
    let cases = [
        (0x3f80_0000, 0x3f80_0000),
        (0x3f80_0fff, 0x3f80_0000),
        (0x3f80_1000, 0x3f80_2000), // a tie: away from zero
        (0xbf80_1000, 0xbf80_2000),
        (0x3f80_3000, 0x3f80_4000),
        (0x3fff_ffff, 0x4000_0000),
        (0x0000_1000, 0x0000_2000),
        (0x7f7f_ffff, 0x7f80_0000),
        (0x7f80_0000, 0x7f80_0000),
        (0xff80_0000, 0xff80_0000),
    ];
    let xs: Vec<f32> = cases.iter().map(|&(from, _)| one(from)).collect();
    let got: Vec<f32> = map("round_to_tf32", F16, &xs);
    for (&(from, to), got) in cases.iter().zip(got) {
        assert_eq!(got.to_bits(), to, "{from:08x}");
    }
    assert!(map::<f32, f32>("round_to_tf32", F16, &[f32::NAN])[0].is_nan());
}

fn random_words_are_those_of_the_library() {
    for (key, first) in [(0, 0), (0x0123_4567_89ab_cdef, u64::from(u32::MAX) - 20), (u64::MAX, u64::MAX - 3)]
    {
        let mut out = room(DType::I32, 4 * 64);
        let arguments = Arguments::new().output(&mut out).value::<u64>(key).value::<u64>(first);
        Run { defines: F16, ..Run::new(&SOURCE, "random_words") }.go(arguments).unwrap();
        let got: Vec<i32> = download(&out);
        for (i, words) in got.chunks(4).enumerate() {
            let expected = cellseg_core::philox(key, first.wrapping_add(i as u64)).map(|w| w as i32);
            assert_eq!(words, expected, "{i}");
        }
    }
}

fn exchanges_follow_their_definitions() {
    let mut out = room(DType::F32, 11 * 64);
    Run { defines: F16, ..Run::new(&SOURCE, "exchanges") }.go(Arguments::new().output(&mut out)).unwrap();
    let got: Vec<f32> = download(&out);
    for i in 0..64usize {
        let (warp, lane) = (i / 32 * 32, i % 32);
        let sum_of_warp: usize = (warp..warp + 32).sum();
        let expected: [f64; 11] = [
            (warp + 3) as f64,
            (warp + lane / 8 * 8 + (i + 1) % 8) as f64,
            (i ^ 5) as f64,
            if lane >= 2 { i - 2 } else { i } as f64,
            if lane % 16 + 2 < 16 { i + 2 } else { i } as f64,
            (warp..warp + 32).filter(|j| j % 3 == 0).count() as f64,
            if lane < 16 { i ^ 1 } else { i ^ 2 } as f64,
            sum_of_warp as f64,
            2016.0,
            -(warp as f64),
            2016.0,
        ];
        for (k, expected) in expected.into_iter().enumerate() {
            assert_eq!(f64::from(got[64 * k + i]), expected, "exchange {k}, thread {i}");
        }
    }
}

fn threads_that_left_are_not_waited_for() {
    let mut out = room(DType::F32, 64);
    Run { defines: F16, ..Run::new(&SOURCE, "early_leavers") }.go(Arguments::new().output(&mut out)).unwrap();
    let got: Vec<f32> = download(&out);
    for (i, got) in got.into_iter().enumerate() {
        assert!(if i < 40 { got == (i / 8 * 8) as f32 } else { got.is_nan() }, "{i}: {got}");
    }
}
