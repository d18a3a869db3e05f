use super::{Blocks, Job, Transformed, fastest, sum, weight_gradient};
use crate::{
    conv3d::{
        Conv3d, Precision,
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

/// A layer with many tiles, and channels that fill neither a vector nor a block.
const LAYER: Case = Case {
    batch: 2,
    size: [5, 6, 13],
    input_channels: 70,
    output_channels: 90,
    kernel: [3; 3],
    settings: Conv3d {
        padding: [1; 3],
        stride: [1; 3],
        activation: Activation::None,
        precision: Precision::Fast,
    },
};

#[test]
fn errors_of_a_layer_stay_within_what_precision_promises() {
    for m in TILES {
        for mean in [0.0, 10.0] {
            let [y, gx, gw] = errors::<f32>(Isa::best(), &LAYER, m, mean);
            assert!(y <= 5e-6 && gx <= 5e-6 && gw <= 1e-5, "{m:?}, mean {mean}: {y:e} {gx:e} {gw:e}");
        }
    }
}

#[test]
fn the_points_give_a_third_of_the_usual_error() {
    // Points 1 and 2 would give 5.8e-6 for 64 channels.
    let case = Case { size: [8; 3], input_channels: 64, output_channels: 16, batch: 1, ..LAYER };
    let [y, ..] = errors::<f32>(Isa::best(), &case, [4; 3], 0.0);
    assert!(y < 2.2e-6, "{y:e}");
}

#[test]
fn neither_threads_nor_blocks_change_a_bit() {
    let problem = problem(&LAYER, Direction::ToCoarse);
    let (x, w) = (random::<f32>(count(&LAYER.x()), 1, 0.0), random::<f32>(count(&LAYER.w()), 2, 0.0));
    let g = random::<f32>(count(&LAYER.y()), 3, 0.0);
    let gradient =
        Gradient { batch: LAYER.batch, axes: problem.axes, fine_channels: 70, coarse_channels: 90 };
    let all = |threads: usize, m, blocks: Option<Blocks>| {
        rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap().install(|| {
            let isa = Isa::best();
            let weights = Weights { data: &w, transposed: false };
            let weights = Transformed::new(isa, &problem, weights, m).unwrap();
            let epilogue = Epilogue { bias: None, activation: Activation::None };
            let (mut y, mut gw) = (vec![f32::NAN; g.len()], vec![f32::NAN; w.len()]);
            let job = Job::new(isa, &problem, &x, &weights, epilogue, &mut y);
            let blocks = blocks.unwrap_or_else(|| job.blocks());
            job.run(blocks).unwrap();
            weight_gradient(isa, &gradient, m, &x, &g, &mut gw).unwrap();
            (y, gw)
        })
    };
    for m in [[2; 3], [4; 3]] {
        let one = all(1, m, None);
        for threads in [1, 2, 3] {
            for blocks in [
                None,
                Some(Blocks { tiles: 5, shared: false }),
                Some(Blocks { tiles: 12, shared: true }),
                Some(Blocks { tiles: 1000, shared: true }),
            ] {
                assert!(all(threads, m, blocks) == one, "{m:?}, {threads} threads, {blocks:?}");
            }
        }
    }
}

#[test]
fn layers_of_the_networks_take_large_tiles_and_first_layers_none() {
    let chosen = |size, channels: [usize; 2]| {
        let case = Case {
            size: [size; 3],
            input_channels: channels[0],
            output_channels: channels[1],
            batch: 1,
            ..LAYER
        };
        fastest(&problem(&case, Direction::ToCoarse))
    };
    assert_eq!(chosen(64, [64, 64]), Some([4; 3]));
    assert_eq!(chosen(32, [128, 128]), Some([4; 3]));
    assert_eq!(chosen(64, [1, 64]), None);
    assert_eq!(chosen(1, [64, 64]), None);
}
