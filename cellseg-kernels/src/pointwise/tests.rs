use super::{
    cases::{REPEATED, SHAPES, TOLERANCE},
    checks::{check, single, told},
    *,
};
use cellseg_core::{DType, Tape, testing::noise};

const ACTIVATIONS: [Activation; 6] = [
    Activation::None,
    Activation::Relu,
    Activation::LeakyRelu(0.1),
    Activation::Elu(1.5),
    Activation::Gelu,
    Activation::Sigmoid,
];

/// Formulas as in the papers, without a thought for rounding.
fn formula(activation: Activation, x: f64) -> f64 {
    match activation {
        Activation::None => x,
        Activation::Relu => x.max(0.0),
        Activation::LeakyRelu(slope) => x.max(0.0) + f64::from(slope) * x.min(0.0),
        Activation::Elu(alpha) => x.max(0.0) + f64::from(alpha) * (x.min(0.0).exp() - 1.0),
        Activation::Gelu => 0.5 * x * (1.0 + libm::erf(x / 2f64.sqrt())),
        Activation::Sigmoid => 1.0 / (1.0 + (-x).exp()),
    }
}

fn each_of(x: &[f64], f: impl Fn(f64) -> f64) -> Vec<f64> {
    x.iter().map(|x| f(*x)).collect()
}

/// Numbers that are so far from zero that differences do not step over a bend there.
fn off_zero(dims: &[usize]) -> Tensor {
    let mut x = noise(dims, 1);
    for x in x.as_mut_slice::<f64>().unwrap() {
        *x += 0.01f64.copysign(*x);
    }
    x
}

#[test]
fn activations_are_their_formulas_with_their_gradients() {
    for dims in SHAPES {
        for a in ACTIVATIONS {
            let x = off_zero(dims);
            check(
                &[x],
                TOLERANCE,
                |v| scale(activate(&v[0], a)?, 1.5),
                |v| each_of(&v[0], |x| 1.5 * formula(a, x)),
            );
        }
    }
}

#[test]
fn named_activations_are_those_of_the_table() -> Result<()> {
    let x = noise(&[50], 1);
    let named = [relu(&x)?, leaky_relu(&x, 0.1)?, elu(&x, 1.5)?, gelu(&x)?, sigmoid(&x)?];
    for (a, y) in ACTIVATIONS[1..].iter().zip(named) {
        assert_eq!(activate(&x, *a)?.to_vec::<f64>()?, y.to_vec::<f64>()?);
    }
    Ok(())
}

#[test]
fn one_number_at_a_time_gives_the_same_as_a_tensor() -> Result<()> {
    for a in ACTIVATIONS {
        let x = noise(&[100], 1).cast(DType::F32)?;
        let numbers = x.to_vec::<f32>()?;
        let tape = Tape::new();
        let traced = x.trainable().on(&tape);
        let y = scale(activate(&traced, a)?, 1.0)?;
        let values = y.to_vec::<f32>()?;
        assert_eq!(values, numbers.iter().map(|x| a.apply(*x)).collect::<Vec<_>>());
        let mut all = numbers.clone();
        a.apply_all(&mut all);
        assert_eq!(values, all);
        let grads = tape.backward_from(&y, Tensor::full(3.0f32, &[100])?)?;
        let at = if a.gradient_is_from_output() { &values } else { &numbers };
        let expected: Vec<f32> = at.iter().map(|at| a.gradient(3.0, *at)).collect();
        let mut all = vec![3.0; 100];
        a.gradient_all(&mut all, at);
        assert_eq!(expected, all);
        assert_eq!(grads.get(&traced).map(|g| g.to_vec::<f32>()).transpose()?, Some(expected));
    }
    Ok(())
}

#[test]
fn functions_are_those_of_the_standard_library_with_their_gradients() {
    type Row = (fn(&Tensor) -> Result<Tensor>, fn(f64) -> f64);
    let table: [Row; 5] = [
        (|x| exp(x), f64::exp),
        (|x| ln(x), f64::ln),
        (|x| sqrt(x), f64::sqrt),
        (|x| square(x), |x| x * x),
        (|x| abs(x), f64::abs),
    ];
    for dims in SHAPES {
        for (f, expected) in table {
            let x = add_scalar(square(noise(dims, 1)).unwrap(), 0.5).unwrap();
            check(&[x], TOLERANCE, |v| f(&v[0]), |v| each_of(&v[0], expected));
        }
        check(&[off_zero(dims)], TOLERANCE, |v| abs(&v[0]), |v| each_of(&v[0], f64::abs));
    }
}

#[test]
fn arithmetic_is_that_of_numbers_with_its_gradients() {
    type Row = (fn(&Tensor, &Tensor) -> Result<Tensor>, fn(f64, f64) -> f64);
    let table: [Row; 4] = [
        (|a, b| add(a, b), |a, b| a + b),
        (|a, b| sub(a, b), |a, b| a - b),
        (|a, b| mul(a, b), |a, b| a * b),
        (|a, b| div(a, b), |a, b| a / b),
    ];
    for dims in SHAPES {
        for (f, expected) in table {
            let b = add_scalar(abs(noise(dims, 2)).unwrap(), 0.5).unwrap();
            let both = |v: &[Vec<f64>]| v[0].iter().zip(&v[1]).map(|(a, b)| expected(*a, *b)).collect();
            check(&[noise(dims, 1), b], TOLERANCE, |v| f(&v[0], &v[1]), both);
        }
        check(
            &[noise(dims, 1)],
            TOLERANCE,
            |v| add_scalar(scale(&v[0], -2.5)?, 0.75),
            |v| each_of(&v[0], |x| 0.75 - 2.5 * x),
        );
    }
}

#[test]
fn an_operation_with_itself_adds_both_gradients() {
    check(&[noise(&[30], 1)], TOLERANCE, |v| mul(&v[0], &v[0]), |v| each_of(&v[0], |x| x * x));
    check(&[noise(&[30], 1)], TOLERANCE, |v| add(&v[0], &v[0]), |v| each_of(&v[0], |x| x + x));
    check(&[noise(&[30], 1)], TOLERANCE, |v| div(&v[0], &v[0]), |v| each_of(&v[0], |_| 1.0));
}

#[test]
fn repeating_copies_along_axes_of_extent_one() {
    for (from, to) in REPEATED {
        let expected = |v: &[Vec<f64>]| {
            let x = ndarray::ArrayView::from_shape(*from, &v[0]).unwrap();
            x.broadcast(*to).unwrap().iter().copied().collect()
        };
        check(&[noise(from, 1)], TOLERANCE, |v| broadcast_to(&v[0], to), expected);
    }
}

#[test]
fn infinities_and_what_is_not_a_number_come_out_as_in_pytorch() {
    let (inf, nan) = (f32::INFINITY, f32::NAN);
    let table = [
        (Activation::Relu, [inf, 0.0, nan]),
        (Activation::LeakyRelu(0.1), [inf, -inf, nan]),
        (Activation::Elu(1.5), [inf, -1.5, nan]),
        (Activation::Gelu, [inf, nan, nan]),
        (Activation::Sigmoid, [1.0, 0.0, nan]),
    ];
    for (a, expected) in table {
        let got = [inf, -inf, nan].map(|x| a.apply(x));
        for (got, expected) in got.iter().zip(expected) {
            assert!(
                *got == expected || (got.is_nan() && expected.is_nan()),
                "{a:?}: {got} is not {expected}"
            );
        }
    }
    assert!(Activation::Relu.gradient(1.0f32, nan) == 1.0);
}

#[test]
fn an_input_that_is_given_away_lends_its_memory() -> Result<()> {
    let address = |t: &Tensor| t.as_slice::<f64>().map(|x| x.as_ptr());
    let x = noise(&[64], 1);
    let at = address(&x)?;
    let y = relu(x)?;
    assert_eq!(address(&y)?, at);
    let other = noise(&[64], 2);
    let z = add(&other, y)?;
    assert_eq!(address(&z)?, at);
    Ok(())
}

#[test]
fn half_precision_is_computed_in_single() -> Result<()> {
    for dtype in [DType::F16, DType::BF16] {
        let x = noise(&[100], 1).cast(dtype)?;
        let y = gelu(&x)?;
        assert_eq!(y.dtype(), dtype);
        let expected = gelu(single(&[x])[0].clone())?.cast(dtype)?;
        assert_eq!(y.cast(DType::F32)?.to_vec::<f32>()?, expected.cast(DType::F32)?.to_vec::<f32>()?);
    }
    Ok(())
}

#[test]
fn mistakes_name_what_was_given_and_what_is_expected() {
    let x = noise(&[2, 3], 1);
    let turned = noise(&[3, 2], 1);
    assert!(told(add(&x, &turned)).contains("[2, 3] and [3, 2]"));
    assert!(told(broadcast_to(&x, &[2, 4])).contains("[2, 3] cannot become [2, 4]"));
    assert!(told(broadcast_to(&x, &[2, 3, 1])).contains("as many axes"));
    assert!(told(leaky_relu(&x, -0.5)).contains("slope is -0.5"));
    assert!(told(elu(&x, f32::NAN)).contains("alpha is NaN"));
    assert!(Activation::Elu(f32::INFINITY).check().is_err());
}

#[test]
fn tensors_without_numbers_pass_through() -> Result<()> {
    let x = noise(&[0, 3], 1);
    assert_eq!(add(relu(&x)?, &x)?.shape().dims(), [0, 3]);
    assert_eq!(broadcast_to(&noise(&[1, 0], 1), &[5, 0])?.shape().dims(), [5, 0]);
    Ok(())
}
