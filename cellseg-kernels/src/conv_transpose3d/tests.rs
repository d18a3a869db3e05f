use super::{
    ConvTranspose3d,
    cases::{CASES, TOLERANCE},
    conv_transpose3d,
};
use crate::conv3d::{Conv3d, reference::each_product};
use cellseg_core::{
    DType, Tape, Tensor,
    testing::{check_gradients, noise, relative_l2, wide},
};

#[test]
fn it_computes_the_definition_and_its_gradients() {
    for case in CASES {
        for (dtype, tolerance) in [(DType::F32, TOLERANCE), (DType::F64, 1e-14)] {
            // Numbers that single precision holds exactly.
            let random =
                |dims: &[usize], seed| noise(dims, seed).cast(DType::F32).unwrap().cast(dtype).unwrap();
            let (x, w, g) = (random(&case.x(), 1), random(&case.w(), 2), random(&case.y(), 3));
            let b = random(&[case.output_channels], 4);
            let truth = {
                let (x, w, g, b) = (wide(&x), wide(&w), wide(&g), wide(&b));
                let mut y: Vec<f64> = (0..g.len()).map(|i| b[i % b.len()]).collect();
                let (mut gx, mut gw) = (vec![0.0; x.len()], vec![0.0; w.len()]);
                // The products of the convolution from `y` to `x`, whose kernel has inputs and outputs swapped.
                let [kd, kh, kw, inputs, outputs] = case.w();
                let ConvTranspose3d { stride, padding, .. } = case.settings;
                let settings = Conv3d { stride, padding, ..Conv3d::default() };
                each_product(
                    case.y(),
                    [kd, kh, kw, outputs, inputs],
                    case.x(),
                    &settings,
                    |fine, k, coarse| {
                        let (tap, k) = (k / (inputs * outputs), k % (inputs * outputs));
                        let k = (tap * inputs + k % inputs) * outputs + k / inputs;
                        y[fine] += x[coarse] * w[k];
                        gx[coarse] += g[fine] * w[k];
                        gw[k] += g[fine] * x[coarse];
                    },
                );
                [y, gx, gw]
            };
            let tape = Tape::new();
            let inputs = [x, w, b].map(|t| t.trainable().on(&tape));
            let y = conv_transpose3d(&inputs[0], &inputs[1], Some(&inputs[2]), &case.settings).unwrap();
            let grads = tape.backward_from(&y, g).unwrap();
            let found = [&y, grads.get(&inputs[0]).unwrap(), grads.get(&inputs[1]).unwrap()];
            for (i, (found, truth)) in found.into_iter().zip(&truth).enumerate() {
                let error = relative_l2(&wide(found), truth);
                assert!(error <= tolerance, "{dtype:?} {case:?}: number {i} is off by {error}");
            }
        }
    }
}

#[test]
fn gradients_are_those_of_finite_differences() {
    for case in CASES {
        let inputs = [noise(&case.x(), 1), noise(&case.w(), 2), noise(&[case.output_channels], 3)];
        check_gradients(&inputs, 1e-6, |t| conv_transpose3d(&t[0], &t[1], Some(&t[2]), &case.settings));
        check_gradients(&inputs[..2], 1e-6, |t| conv_transpose3d(&t[0], &t[1], None, &case.settings));
    }
}

#[test]
fn shapes_that_do_not_fit_are_errors_that_name_them() {
    let ones = |dims: &[usize]| Tensor::full(1.0f32, dims).unwrap();
    let x = ones(&[1, 4, 4, 4, 2]);
    let fails = |x: &Tensor, w: &[usize], b: Option<&[usize]>, settings: ConvTranspose3d, what: &str| {
        let bias = b.map(ones);
        let why = conv_transpose3d(x, &ones(w), bias.as_ref(), &settings).unwrap_err().to_string();
        assert!(why.starts_with("conv_transpose3d: ") && why.contains(what), "{why}");
    };
    let plain = ConvTranspose3d::upsampling(2);
    fails(&ones(&[4, 4, 4, 2]), &[2, 2, 2, 2, 2], None, plain, "[4, 4, 4, 2]");
    fails(&x, &[2, 2, 2, 2], None, plain, "[2, 2, 2, 2]");
    fails(&x, &[2, 2, 2, 5, 2], None, plain, "have 2 channels");
    fails(&x, &[2, 0, 2, 2, 2], None, plain, "leave no output");
    fails(&x, &[2, 2, 2, 2, 2], None, ConvTranspose3d { stride: [2, 0, 2], ..plain }, "leave no output");
    fails(
        &x,
        &[2, 2, 2, 2, 2],
        None,
        ConvTranspose3d { stride: [usize::MAX; 3], ..plain },
        "leave no output",
    );
    fails(&x, &[2, 2, 2, 2, 2], None, ConvTranspose3d { padding: [4, 4, 4], ..plain }, "leave no output");
    fails(&ones(&[1, 0, 4, 4, 2]), &[2, 2, 2, 2, 2], None, plain, "leave no output");
    fails(&x, &[2, 2, 2, 2, 2], Some(&[3]), plain, "the bias is [3]");
}
