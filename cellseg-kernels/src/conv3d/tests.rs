use super::{
    Conv3d, Precision,
    bias_gradient::channel_sums,
    cases::{CASES, Case, TOLERANCE},
    conv3d, direct,
    geometry::Direction,
    op,
    reference::each_product,
    weight_gradient, winograd,
};
use crate::{pointwise::Activation, simd::Isa};
use cellseg_core::{
    Error, Real, Shape, Tape, Tensor, checkpoint,
    testing::{check_gradients, noise, relative_l2, wide},
};
use std::sync::Arc;

fn narrow<T: Real>(xs: &[f64]) -> Vec<T> {
    xs.iter().map(|&x| T::of(x)).collect()
}

fn widen<T: Real>(xs: &[T]) -> Vec<f64> {
    xs.iter().map(|x| x.wide()).collect()
}

/// Random numbers that `T` holds exactly.
fn random<T: Real>(count: usize, seed: u64) -> Vec<T> {
    narrow(&wide(&noise(&[count], seed)))
}

fn count(shape: &[usize]) -> usize {
    shape.iter().product()
}

fn axes(case: &Case) -> [super::geometry::Axis; 3] {
    let shape = |s: &[usize]| Shape::new(s).unwrap();
    op::links(&case.settings, shape(&case.x()), shape(&case.w())).unwrap().axes
}

/// The relative errors of the sums into outputs, inputs and taps, in this order.
fn errors<T: Real>(isa: Isa, case: &Case) -> [f64; 3] {
    let (x, w, g) = (
        random::<T>(count(&case.x()), 1),
        random::<T>(count(&case.w()), 2),
        random::<T>(count(&case.y()), 3),
    );
    let bias = random::<T>(case.output_channels, 4);
    let truth = {
        let (x, w, g) = (widen(&x), widen(&w), widen(&g));
        let mut y: Vec<f64> = (0..g.len()).map(|i| bias[i % bias.len()].wide()).collect();
        let (mut gx, mut gw) = (vec![0.0; x.len()], vec![0.0; w.len()]);
        each_product(case.x(), case.w(), case.y(), &case.settings, |i, k, o| {
            y[o] += x[i] * w[k];
            gx[i] += g[o] * w[k];
            gw[k] += g[o] * x[i];
        });
        [y, gx, gw]
    };
    let axes = axes(case);
    let [a, b] = [case.input_channels, case.output_channels];
    let problem = |direction, input_channels, output_channels| direct::Problem {
        batch: case.batch,
        axes,
        direction,
        input_channels,
        output_channels,
    };
    // Not a number where nothing is written.
    let [mut y, mut gx, mut gw] = [g.len(), x.len(), w.len()].map(|n| vec![T::nan(); n]);
    let plain = |bias| direct::Epilogue { bias, activation: Activation::None };
    let weights = |transposed| direct::Weights { data: &w, transposed };
    direct::sum(isa, &problem(Direction::ToCoarse, a, b), &x, weights(false), plain(Some(&bias)), &mut y)
        .unwrap();
    direct::sum(isa, &problem(Direction::ToFine, b, a), &g, weights(true), plain(None), &mut gx).unwrap();
    let problem = weight_gradient::Problem { batch: case.batch, axes, fine_channels: a, coarse_channels: b };
    weight_gradient::weight_gradient(isa, &problem, &x, &g, &mut gw).unwrap();
    [
        relative_l2(&widen(&y), &truth[0]),
        relative_l2(&widen(&gx), &truth[1]),
        relative_l2(&widen(&gw), &truth[2]),
    ]
}

#[test]
fn every_instruction_set_computes_the_definition() {
    for isa in Isa::available() {
        for case in CASES {
            let single = errors::<f32>(isa, case);
            assert!(single.iter().all(|&e| e <= TOLERANCE), "{isa:?} f32 {case:?}: {single:?}");
            let double = errors::<f64>(isa, case);
            assert!(double.iter().all(|&e| e <= 1e-14), "{isa:?} f64 {case:?}: {double:?}");
        }
    }
}

fn tensor<T: Real>(shape: &[usize], seed: u64) -> Tensor {
    Tensor::from_slice(&random::<T>(count(shape), seed), shape).unwrap()
}

#[test]
fn gradients_are_those_of_finite_differences() {
    let activations = [
        Activation::None,
        Activation::Relu,
        Activation::LeakyRelu(0.1),
        Activation::Elu(0.5),
        Activation::Gelu,
        Activation::Sigmoid,
    ];
    for (i, case) in CASES.iter().enumerate() {
        // Whole numbers and a bias between them: no sum comes near zero, where some of the functions have a corner.
        let whole = |dims: &[usize], seed, shift: f64| {
            let xs: Vec<f64> = wide(&noise(dims, seed)).iter().map(|x| (3.0 * x).round() + shift).collect();
            Tensor::from_slice(&xs, dims).unwrap()
        };
        let inputs =
            [whole(&case.x(), 1, 0.0), whole(&case.w(), 2, 0.0), whole(&[case.output_channels], 3, 0.5)];
        let settings = Conv3d { activation: activations[i % activations.len()], ..case.settings };
        check_gradients(&inputs, 1e-4, |t| conv3d(&t[0], &t[1], Some(&t[2]), &settings));
        check_gradients(&inputs[..2], 1e-6, |t| conv3d(&t[0], &t[1], None, &case.settings));
    }
}

#[test]
fn an_activation_is_applied_to_the_sums() {
    let (x, w, b) =
        (tensor::<f32>(&[1, 3, 4, 9, 5], 1), tensor::<f32>(&[3, 3, 3, 5, 18], 2), tensor::<f32>(&[18], 3));
    let plain = wide(&conv3d(&x, &w, Some(&b), &Conv3d::same(3)).unwrap());
    for activation in [Activation::Relu, Activation::LeakyRelu(0.2), Activation::Elu(1.0), Activation::Gelu] {
        let fused = wide(&conv3d(&x, &w, Some(&b), &Conv3d { activation, ..Conv3d::same(3) }).unwrap());
        let after: Vec<f64> = plain.iter().map(|&x| f64::from(activation.apply(x as f32))).collect();
        assert!(relative_l2(&fused, &after) < 1e-7, "{activation:?}");
    }
}

#[test]
fn the_number_of_threads_does_not_change_a_bit() {
    // Several parts of the weight gradient, several blocks of channels, several groups of taps; few channels in, and out.
    for (size, [inputs, outputs], precision) in [
        ([2, 7, 9, 13], [70, 150], Precision::Strict),
        ([2, 7, 9, 13], [70, 150], Precision::Fast),
        ([1, 9, 11, 40], [1, 40], Precision::Fast),
        ([1, 9, 11, 40], [64, 1], Precision::Fast),
    ] {
        let [n, d, h, w] = size;
        let (x, w, b) = (
            tensor::<f32>(&[n, d, h, w, inputs], 1),
            tensor::<f32>(&[3, 3, 3, inputs, outputs], 2),
            tensor::<f32>(&[outputs], 3),
        );
        let all = |threads| {
            rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap().install(|| {
                let tape = Tape::new();
                let inputs = [&x, &w, &b].map(|t| t.clone().trainable().on(&tape));
                let settings = Conv3d { activation: Activation::Relu, precision, ..Conv3d::same(3) };
                let y = conv3d(&inputs[0], &inputs[1], Some(&inputs[2]), &settings).unwrap();
                let grads = tape.backward_from(&y, y.detached()).unwrap();
                let grads = inputs.iter().map(|t| grads.get(t).unwrap().to_vec::<f32>().unwrap());
                std::iter::once(y.to_vec::<f32>().unwrap()).chain(grads).collect::<Vec<_>>()
            })
        };
        let one = all(1);
        assert!(one == all(2) && one == all(3), "{inputs} -> {outputs}, {precision:?}");
    }
}

#[test]
fn winograds_sums_go_through_bias_and_activation_as_the_direct_ones_do() {
    // Rows, columns and planes that fill no whole tile, channels that fill no whole vector.
    let (x, w, b) = (
        tensor::<f32>(&[1, 11, 13, 10, 36], 1),
        tensor::<f32>(&[3, 3, 3, 36, 44], 2),
        tensor::<f32>(&[44], 3),
    );
    let run = |activation, precision| {
        let settings = Conv3d { activation, precision, ..Conv3d::same(3) };
        wide(&conv3d(&x, &w, Some(&b), &settings).unwrap())
    };
    assert!(run(Activation::None, Precision::Fast) != run(Activation::None, Precision::Strict));
    for activation in [Activation::Relu, Activation::LeakyRelu(0.2), Activation::Elu(1.0), Activation::Gelu] {
        let [fast, strict] = [Precision::Fast, Precision::Strict].map(|p| run(activation, p));
        assert!(relative_l2(&fast, &strict) < 1e-5, "{activation:?}");
    }
}

#[test]
fn one_voxel_that_is_not_a_number_spoils_no_more_than_the_tiles_that_read_it() {
    let mut x = tensor::<f32>(&[1, 16, 16, 16, 32], 1);
    let middle = ((8 * 16 + 8) * 16 + 8) * 32;
    x.as_mut_slice::<f32>().unwrap()[middle] = f32::NAN;
    let w = tensor::<f32>(&[3, 3, 3, 32, 32], 2);
    let y = conv3d(&x, &w, None, &Conv3d { activation: Activation::Relu, ..Conv3d::same(3) }).unwrap();
    let y = y.to_vec::<f32>().unwrap();
    let spoilt = y.chunks_exact(32).filter(|voxel| voxel[0].is_nan()).count();
    assert!((27..=512).contains(&spoilt), "{spoilt}");
}

#[test]
fn padding_and_strides_far_beyond_the_volume_are_computed_or_refused() {
    let x = tensor::<f32>(&[1, 1, 1, 1, 8], 1);
    let w = tensor::<f32>(&[1, 1, 1, 8, 8], 2);
    let far = Conv3d { padding: [0, 0, 1 << 61], stride: [1, 1, (1 << 59) + 128], ..Conv3d::default() };
    assert!(conv3d(&x, &w, None, &far).unwrap_err().to_string().contains("does not fit"));
    // The middle output alone reads the voxel.
    let wide = Conv3d { padding: [0, 0, 1_000_000], stride: [1, 1, 1_000_000], ..Conv3d::default() };
    let y = conv3d(&x, &w, None, &wide).unwrap().to_vec::<f32>().unwrap();
    let alone = conv3d(&x, &w, None, &Conv3d::default()).unwrap().to_vec::<f32>().unwrap();
    assert_eq!((&y[..8], &y[8..16], &y[16..]), (&[0.0; 8][..], &alone[..], &[0.0; 8][..]));
    let most = Conv3d { stride: [usize::MAX; 3], padding: [1; 3], ..Conv3d::default() };
    assert_eq!(conv3d(&x, &w, None, &most).unwrap().to_vec::<f32>().unwrap(), [0.0; 8]);
}

#[test]
fn what_is_not_a_number_is_not_hidden_by_relu() {
    let x = Tensor::from_slice(&[f32::NAN, 1.0, -1.0], &[1, 1, 1, 3, 1]).unwrap();
    let w = Tensor::full(1.0f32, &[1, 1, 1, 1, 1]).unwrap();
    let y = conv3d(&x, &w, None, &Conv3d { activation: Activation::Relu, ..Conv3d::default() }).unwrap();
    let y = y.to_vec::<f32>().unwrap();
    assert!(y[0].is_nan() && y[1..] == [1.0, 0.0], "{y:?}");
}

#[test]
fn an_empty_batch_has_an_empty_output_and_a_zero_weight_gradient() {
    for (kernel, outputs) in [(3, 4), (1, 2), (1, 140)] {
        let tape = Tape::new();
        let x = Tensor::full(1.0f32, &[0, 3, 3, 3, 8]).unwrap();
        let w = Tensor::full(1.0f32, &[kernel, kernel, kernel, 8, outputs]).unwrap().trainable();
        let y = conv3d(&x.on(&tape), &w, None, &Conv3d::same(kernel)).unwrap();
        assert_eq!(y.shape().dims(), [0, 3, 3, 3, outputs]);
        let grads = tape.backward_from(&y, y.detached()).unwrap();
        assert!(grads.get(&w).unwrap().to_vec::<f32>().unwrap().iter().all(|&g| g == 0.0));
    }
}

#[test]
fn shapes_that_do_not_fit_are_errors_that_name_them() {
    let ones = |dims: &[usize]| Tensor::full(1.0f32, dims).unwrap();
    let x = ones(&[1, 4, 4, 4, 2]);
    let fails = |x: &Tensor, w: &[usize], b: Option<&[usize]>, settings: Conv3d, what: &str| {
        let bias = b.map(ones);
        let why = conv3d(x, &ones(w), bias.as_ref(), &settings).unwrap_err().to_string();
        assert!(why.contains(what), "{why}");
    };
    let plain = Conv3d::default();
    fails(&ones(&[4, 4, 4, 2]), &[3, 3, 3, 2, 2], None, plain, "[4, 4, 4, 2]");
    fails(&x, &[3, 3, 2, 2], None, plain, "[3, 3, 2, 2]");
    fails(&x, &[3, 3, 3, 5, 2], None, plain, "have 2 channels");
    fails(&x, &[5, 3, 3, 2, 2], None, plain, "does not fit");
    fails(&x, &[3, 3, 0, 2, 2], None, plain, "does not fit");
    fails(&x, &[3, 3, 3, 2, 2], None, Conv3d { stride: [1, 0, 1], ..plain }, "does not fit");
    fails(&x, &[3, 3, 3, 2, 2], None, Conv3d { padding: [usize::MAX, 0, 0], ..plain }, "does not fit");
    fails(&x, &[3, 3, 3, 2, 2], Some(&[3]), plain, "the bias is [3]");
    fails(
        &x,
        &[3, 3, 3, 2, 2],
        None,
        Conv3d { activation: Activation::LeakyRelu(-1.0), ..plain },
        "negative",
    );
}

#[test]
fn the_bias_gradient_is_the_sum_over_voxels() {
    let sums = |g: &Tensor, channels| {
        let mut out = vec![f64::NAN; channels];
        channel_sums(Isa::best(), g.as_slice().unwrap(), &mut out);
        out
    };
    for channels in [1, 2, 17, 64, 1000] {
        let g = tensor::<f64>(&[2, 5, 7, 11, channels], 1);
        let truth = wide(&g).chunks_exact(channels).fold(vec![0.0; channels], |mut s, v| {
            s.iter_mut().zip(v).for_each(|(s, v)| *s += v);
            s
        });
        assert!(relative_l2(&sums(&g, channels), &truth) < 1e-13, "{channels} channels");
    }
}

#[test]
fn transformed_weights_are_kept_until_the_kernel_changes_and_not_in_training() {
    let settings = Conv3d::same(3);
    let (x, mut w) =
        (tensor::<f32>(&[1, 12, 12, 12, 32], 1), tensor::<f32>(&[3, 3, 3, 32, 32], 2).trainable());
    let kept = |w: &Tensor, x: &Tensor| op::Forward::new(settings, x, w).unwrap().kept;
    let again = |w: &Tensor| conv3d(&x, w, None, &settings).unwrap().to_vec::<f32>().unwrap();
    let copy = |w: &Tensor| Tensor::from_slice(w.as_slice::<f32>().unwrap(), w.shape().dims()).unwrap();
    assert!(kept(&w, &x.on(&Tape::new())).is_none());
    // Nor in the first of the two passes of a step that recomputes.
    let block = |w: Tensor| move |x: &Tensor| conv3d(x, &w, None, &Conv3d::same(3));
    checkpoint(&x.on(&Tape::new()), block(w.clone())).unwrap();
    let built = std::cell::Cell::new(false);
    let none = || {
        built.set(true);
        Err(Error::Gradient("nothing is kept"))
    };
    assert!(w.derived(|_: &winograd::Transformed<f32>| true, none).is_err() && built.get());
    let first = kept(&w, &x).unwrap();
    assert!(Arc::ptr_eq(&first, &kept(&w, &x).unwrap()));
    assert!(again(&w) == again(&copy(&w)));
    // What a step of an optimiser does.
    w.as_mut_slice::<f32>().unwrap().iter_mut().for_each(|w| *w *= 0.5);
    assert!(!Arc::ptr_eq(&first, &kept(&w, &x).unwrap()));
    assert!(again(&w) == again(&copy(&w)));
}

#[test]
fn strict_precision_takes_the_products_of_the_definition_only() {
    let (x, w) = (tensor::<f32>(&[1, 12, 12, 12, 32], 1), tensor::<f32>(&[3, 3, 3, 32, 32], 2));
    let run = |precision| {
        let y = conv3d(&x, &w, None, &Conv3d { precision, ..Conv3d::same(3) }).unwrap();
        y.to_vec::<f32>().unwrap()
    };
    let mut direct = vec![f32::NAN; 12 * 12 * 12 * 32];
    let case = Case {
        batch: 1,
        size: [12; 3],
        input_channels: 32,
        output_channels: 32,
        kernel: [3; 3],
        settings: Conv3d::same(3),
    };
    let problem = direct::Problem {
        batch: 1,
        axes: axes(&case),
        direction: Direction::ToCoarse,
        input_channels: 32,
        output_channels: 32,
    };
    let weights = direct::Weights { data: w.as_slice().unwrap(), transposed: false };
    let epilogue = direct::Epilogue { bias: None, activation: Activation::None };
    direct::sum(Isa::best(), &problem, x.as_slice().unwrap(), weights, epilogue, &mut direct).unwrap();
    assert!(run(Precision::Strict) == direct);
    assert!(run(Precision::Fast) != direct);
}
