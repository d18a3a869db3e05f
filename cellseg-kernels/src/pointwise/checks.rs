//! What the tests of the memory-bound operations have in common.

use cellseg_core::{
    DType, Result, Tape, Tensor,
    testing::{check_gradients, noise, relative_l2, wide},
};

/// A differentiable operation on some tensors.
type Operation<'a> = &'a (dyn Fn(&[Tensor]) -> Result<Tensor> + Sync);

/// The output and the gradients of all inputs, as double precision numbers; the output's gradient is random.
fn results(inputs: &[Tensor], f: Operation<'_>) -> Vec<Vec<f64>> {
    let tape = Tape::new();
    let xs: Vec<Tensor> = inputs.iter().map(|x| x.clone().trainable().on(&tape)).collect();
    let y = f(&xs).expect("the operation runs");
    let seed = noise(y.shape().dims(), 0x5eed).cast(DType::F32).and_then(|s| s.cast(y.dtype()));
    let seed = seed.expect("a floating point type");
    let grads = tape.backward_from(&y, seed).expect("the gradient is computed");
    let of = |x: &Tensor| grads.get(x).map(wide).expect("every input has a gradient");
    std::iter::once(wide(&y)).chain(xs.iter().map(of)).collect()
}

/// The same numbers in single precision.
pub(crate) fn single(xs: &[Tensor]) -> Vec<Tensor> {
    xs.iter().map(|x| x.cast(DType::F32).expect("a floating point type")).collect()
}

fn double_of(x: &Tensor) -> Tensor {
    x.cast(DType::F64).expect("a floating point type")
}

/// All that holds for a differentiable operation, for `f64` inputs: its values are those of `reference`, its gradients
/// are those of differences, single precision agrees with double precision to `tolerance`, and the bits in single
/// precision are the same for one thread and for three.
pub(crate) fn check(
    inputs: &[Tensor],
    tolerance: f64,
    f: impl Fn(&[Tensor]) -> Result<Tensor> + Sync,
    reference: impl Fn(&[Vec<f64>]) -> Vec<f64>,
) {
    check_operation(inputs, tolerance, &f, &reference);
}

/// [`check`], compiled once for all operations.
fn check_operation(
    inputs: &[Tensor],
    tolerance: f64,
    f: Operation<'_>,
    reference: &dyn Fn(&[Vec<f64>]) -> Vec<f64>,
) {
    let expected = reference(&inputs.iter().map(wide).collect::<Vec<_>>());
    let value = f(inputs).map(|y| wide(&y)).expect("the operation runs");
    let shapes = || inputs.iter().map(Tensor::shape).collect::<Vec<_>>();
    let error = relative_l2(&value, &expected);
    assert!(error < 1e-12, "{error} from the reference for {:?}", shapes());
    check_gradients(inputs, 1e-6, f);
    let inputs_single = single(inputs);
    let double = results(&inputs_single.iter().map(double_of).collect::<Vec<_>>(), f);
    let on = |threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("a pool of threads");
        pool.install(|| results(&inputs_single, f))
    };
    let one = on(1);
    for (i, (got, expected)) in one.iter().zip(&double).enumerate() {
        let error = relative_l2(got, expected);
        assert!(error <= tolerance, "result {i} in single precision is off by {error} for {:?}", shapes());
    }
    assert_eq!(bits(&one), bits(&on(3)), "three threads give other bits for {:?}", shapes());
}

fn bits(xs: &[Vec<f64>]) -> Vec<u64> {
    xs.iter().flatten().map(|x| x.to_bits()).collect()
}

/// The message of the error that is expected.
pub(crate) fn told(result: Result<Tensor>) -> String {
    result.expect_err("an error is expected").to_string()
}
