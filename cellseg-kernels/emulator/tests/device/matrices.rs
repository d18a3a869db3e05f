//! The matrix instructions against plain products, their fragments against the layouts of the PTX ISA manual.

use crate::{Run, download, room, trial, upload};
use cellseg_core::{
    DType, Element, Rng,
    cuda::{Arguments, Source},
};
use half::{bf16, f16};
use libtest_mimic::Trial;

const SOURCE: Source = Source { name: "matrices.cu", text: include_str!("../kernels/matrices.cu") };
const F16: &[(&str, &str)] = &[("REAL", "f16")];
const BF16: &[(&str, &str)] = &[("REAL", "bf16")];

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial("ldmatrix gives the manual's fragments", ldmatrix_gives_the_fragments),
        trial("a product of f16 is the plain product", || product(F16, f16::from_f32, f16::to_f32)),
        trial("a product of bf16 is the plain product", || product(BF16, bf16::from_f32, bf16::to_f32)),
        trial("a product of tf32 is the plain product", product_tf32),
        trial("a copy that is not valid writes zeros", invalid_copies_write_zeros),
        trial("groups of copies arrive when they are waited for", groups_of_copies_arrive),
    ]
}

fn warp(kernel: &'static str, defines: &'static [(&'static str, &'static str)]) -> Run {
    Run { defines, threads: 32, ..Run::new(&SOURCE, kernel) }
}

fn ldmatrix_gives_the_fragments() {
    let mut out = room(DType::I32, 8 * 32);
    warp("fragments", F16).go(Arguments::new().output(&mut out)).unwrap();
    let got: Vec<i32> = download(&out);
    // PTX ISA, "ldmatrix": register i of lane l holds row l / 4, columns 2 (l % 4) and the next of matrix i.
    let element = |matrix: usize, row: usize, column: usize| (64 * matrix + 8 * row + column) as i32;
    for lane in 0..32 {
        let (row, column) = (lane / 4, lane % 4 * 2);
        for matrix in 0..4 {
            let plain = element(matrix, row, column) | element(matrix, row, column + 1) << 16;
            let transposed = element(matrix, column, row) | element(matrix, column + 1, row) << 16;
            assert_eq!(got[32 * matrix + lane], plain, "x4, matrix {matrix}, lane {lane}");
            assert_eq!(got[32 * (4 + matrix) + lane], transposed, "x4 trans, matrix {matrix}, lane {lane}");
        }
    }
}

/// Numbers from [-1, 1), and f64 sums of their products as they are after rounding.
fn random(rng: &mut Rng, count: usize) -> Vec<f32> {
    (0..count).map(|_| 2.0 * rng.uniform() as f32 - 1.0).collect()
}

fn check(got: &[f32], c: impl Fn(usize) -> f64, a: &[f32], b: &[f32], depth: usize) {
    for row in 0..16 {
        for column in 0..8 {
            let products = (0..depth).map(|k| f64::from(a[row * depth + k]) * f64::from(b[8 * k + column]));
            let expected = c(8 * row + column) + products.sum::<f64>();
            let got = f64::from(got[8 * row + column]);
            assert!((got - expected).abs() < 4e-6, "row {row}, column {column}: {got}, expected {expected}");
        }
    }
}

fn product<T: Element>(
    defines: &'static [(&'static str, &'static str)],
    narrow: fn(f32) -> T,
    wide: fn(T) -> f32,
) {
    let mut rng = Rng::new(1);
    let c = random(&mut rng, 16 * 8);
    let a: Vec<T> = random(&mut rng, 16 * 16).into_iter().map(narrow).collect();
    let b: Vec<T> = random(&mut rng, 16 * 8).into_iter().map(narrow).collect();
    let mut d = room(DType::F32, 16 * 8);
    let [of_c, of_a, of_b] = [upload(&c), upload(&a), upload(&b)];
    let arguments = Arguments::new().output(&mut d).input(&of_c).input(&of_a).input(&of_b);
    warp("product", defines).go(arguments).unwrap();
    let widened = |xs: &[T]| xs.iter().map(|&x| wide(x)).collect::<Vec<_>>();
    check(&download::<f32>(&d), |i| f64::from(c[i]), &widened(&a), &widened(&b), 16);
}

fn product_tf32() {
    let mut rng = Rng::new(2);
    let (a, b) = (random(&mut rng, 16 * 8), random(&mut rng, 8 * 8));
    let mut d = room(DType::F32, 16 * 8);
    let [of_a, of_b] = [upload(&a), upload(&b)];
    let arguments = Arguments::new().output(&mut d).input(&of_a).input(&of_b);
    warp("product_tf32", F16).go(arguments).unwrap();
    // 13 bits of fraction go; none of these numbers is a tie.
    let rounded =
        |xs: &[f32]| xs.iter().map(|x| f32::from_bits((x.to_bits() + 0x1000) & !0x1fff)).collect::<Vec<_>>();
    check(&download::<f32>(&d), |_| 0.0, &rounded(&a), &rounded(&b), 8);
}

fn invalid_copies_write_zeros() {
    let input = upload(&(0..128).map(|i| 100 + i).collect::<Vec<i32>>());
    let mut out = room(DType::I32, 128);
    warp("invalid_copies", F16).go(Arguments::new().output(&mut out).input(&input)).unwrap();
    let expected: Vec<i32> = (0..128).map(|i| if i / 4 % 2 == 1 { 100 + i } else { 0 }).collect();
    assert_eq!(download::<i32>(&out), expected);
}

fn groups_of_copies_arrive() {
    let input: Vec<i32> = (0..384).collect();
    let (mut out, there) = (room(DType::I32, 384), upload(&input));
    warp("groups_of_copies", F16).go(Arguments::new().output(&mut out).input(&there)).unwrap();
    let got: Vec<i32> = download(&out);
    assert_eq!(got[..128], input[..128]);
    assert!(got[128..256].iter().all(|&x| x == -1), "copies that were not waited for are not there yet");
    assert_eq!(got[256..], input[256..]);
}
