use super::{Transformed, sum, weight_gradient};
use crate::{
    conv3d::{
        Conv3d,
        cases::{CASES, Case},
        direct::{Epilogue, Problem, Weights},
        geometry::Direction,
        op,
        reference::each_product,
        weight_gradient::Problem as Gradient,
    },
    pointwise::Activation,
    simd::Isa,
};
use cellseg_core::{
    Real, Shape,
    testing::{noise, relative_l2, wide},
};

/// Tiles of all kinds.
const TILES: [[usize; 3]; 4] = [[2; 3], [4; 3], [2, 4, 4], [4, 2, 4]];

fn random<T: Real>(count: usize, seed: u64, mean: f64) -> Vec<T> {
    wide(&noise(&[count], seed)).iter().map(|&x| T::of(x + mean)).collect()
}

fn widen<T: Real>(xs: &[T]) -> Vec<f64> {
    xs.iter().map(|x| x.wide()).collect()
}

fn count(shape: &[usize]) -> usize {
    shape.iter().product()
}

fn problem(case: &Case, direction: Direction) -> Problem {
    let shape = |s: &[usize]| Shape::new(s).unwrap();
    let axes = op::links(&case.settings, shape(&case.x()), shape(&case.w())).unwrap().axes;
    let [a, b] = [case.input_channels, case.output_channels];
    let (input_channels, output_channels) = if direction == Direction::ToCoarse { (a, b) } else { (b, a) };
    Problem { batch: case.batch, axes, direction, input_channels, output_channels }
}

/// The relative errors of the sums into outputs, inputs and taps, in this order.
fn errors<T: Real>(isa: Isa, case: &Case, m: [usize; 3], mean: f64) -> [f64; 3] {
    let (x, w, g) = (
        random::<T>(count(&case.x()), 1, mean),
        random::<T>(count(&case.w()), 2, 0.0),
        random::<T>(count(&case.y()), 3, mean),
    );
    let bias = random::<T>(case.output_channels, 4, 0.0);
    let [mut y, mut gx, mut gw] = [g.len(), x.len(), w.len()].map(|n| vec![0.0; n]);
    y.iter_mut().enumerate().for_each(|(i, y)| *y = bias[i % bias.len()].wide());
    {
        let (x, w, g) = (widen(&x), widen(&w), widen(&g));
        each_product(case.x(), case.w(), case.y(), &case.settings, |i, k, o| {
            y[o] += x[i] * w[k];
            gx[i] += g[o] * w[k];
            gw[k] += g[o] * x[i];
        });
    }
    let computed = |direction, from: &[T], bias, count| {
        let problem = problem(case, direction);
        let weights = Weights { data: &w, transposed: direction == Direction::ToFine };
        let weights = Transformed::new(isa, &problem, weights, m).unwrap();
        // Not a number where nothing is written.
        let mut out = vec![T::nan(); count];
        let epilogue = Epilogue { bias, activation: Activation::None };
        sum(isa, &problem, from, &weights, epilogue, &mut out).unwrap();
        widen(&out)
    };
    let axes = problem(case, Direction::ToCoarse).axes;
    let [fine_channels, coarse_channels] = [case.input_channels, case.output_channels];
    let gradient = Gradient { batch: case.batch, axes, fine_channels, coarse_channels };
    let mut taps = vec![T::nan(); w.len()];
    weight_gradient(isa, &gradient, m, &x, &g, &mut taps).unwrap();
    [
        relative_l2(&computed(Direction::ToCoarse, &x, Some(&bias), y.len()), &y),
        relative_l2(&computed(Direction::ToFine, &g, None, gx.len()), &gx),
        relative_l2(&widen(&taps), &gw),
    ]
}

fn cases() -> impl Iterator<Item = Case> {
    let small = (1..10).map(|n| Case {
        batch: 1 + n % 2,
        size: [n, (n + 4) % 9 + 1, n + 5],
        input_channels: 2 * n - 1,
        output_channels: 5 * n,
        kernel: [3; 3],
        settings: Conv3d { padding: [1 + n % 2, 1, 2 - n % 2], ..Conv3d::default() },
    });
    let valid = |c: &&Case| c.kernel == [3; 3] && c.settings.stride == [1; 3];
    CASES.iter().filter(valid).copied().chain(small)
}

#[test]
fn every_instruction_set_computes_the_definition_with_every_tile() {
    for isa in Isa::available() {
        for case in cases() {
            for m in TILES {
                let double = errors::<f64>(isa, &case, m, 0.0);
                assert!(double.iter().all(|&e| e <= 1e-13), "{isa:?} f64 {m:?} {case:?}: {double:?}");
                let single = errors::<f32>(isa, &case, m, 0.0);
                assert!(single.iter().all(|&e| e <= 4e-6), "{isa:?} f32 {m:?} {case:?}: {single:?}");
            }
        }
    }
}
