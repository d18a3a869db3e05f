//! The supervised networks against PyTorch and MONAI, whose numbers `fixtures/make_networks.py` wrote; their weights on
//! their way in and out; and whole volumes through them.

mod infer;
mod segresnet;
#[path = "../support/mod.rs"]
mod support;
mod trailmap;
mod vnet;

use cellseg_core::{Tape, Tensor};
use cellseg_kernels::{pointwise::mul, reduce::sum};
use cellseg_models::{Network, PassMode, layers::Module, weights};
use ndarray::{Array4, Array5, ArrayD, Axis};
use support::{array, check_along, check_gradients, difference, facts, image, splitmix};

/// The batch `[n, d, h, w, c]` that the script makes under this name.
fn images(name: &str, [n, c, d, h, w]: [usize; 5]) -> Tensor {
    let volume = |i| image(&format!("{name}.{}.{}", i / c, i % c), [d, h, w]).mapv(|x| x / 50.0 - 1.0);
    let volumes: Vec<_> = (0..n * c).map(volume).collect();
    let views: Vec<_> = volumes.iter().map(|v| v.view()).collect();
    let stack: Array4<f32> = ndarray::stack(Axis(0), &views).unwrap();
    from_channels_first(stack.into_shape_with_order((n, c, d, h, w)).unwrap())
}

fn from_channels_first(array: Array5<f32>) -> Tensor {
    Tensor::from_ndarray(array.view().permuted_axes([0, 2, 3, 4, 1])).unwrap()
}

fn to_channels_first(t: &Tensor) -> ArrayD<f32> {
    let array = t.to_ndarray::<f32>().unwrap();
    array.permuted_axes(vec![0, 4, 1, 2, 3]).as_standard_layout().into_owned()
}

/// How a network is compared with a fixture.
struct Comparison<'a> {
    /// What the names of the files start with.
    fixture: &'a str,
    /// The shapes of the batches of training and of inference, `[n, c, d, h, w]`.
    training: [usize; 5],
    inference: [usize; 5],
}

impl Comparison<'_> {
    /// A training pass and its gradients, the statistics after another, and an inference with them. The numbers were
    /// computed in double precision.
    fn run(&self, net: &mut impl Network, mode: &PassMode) {
        let facts = facts(&format!("{}.json", self.fixture));
        let tape = Tape::new();
        let logits = net.training_logits(&images("first", self.training).on(&tape), mode).unwrap();
        let expected = array(&format!("{}.training.npy", self.fixture));
        assert_eq!(to_channels_first(&logits).shape(), expected.shape());
        let worst = difference(&to_channels_first(&logits), &expected);
        assert!(worst < 1e-4, "in training the output differs by {worst}");

        let along = splitmix("along.logits", expected.len()).into_iter().map(|u| u as f32).collect();
        let along = ArrayD::from_shape_vec(expected.shape(), along).unwrap().into_dimensionality().unwrap();
        let loss = sum(&mul(&logits, from_channels_first(along)).unwrap()).unwrap();
        let gradients = tape.backward(&loss).unwrap();
        // What is nothing but rounding, as of a bias before a batch normalisation, is compared with the largest.
        let norms = facts["gradients"].as_object().unwrap().values().map(|g| g[0].as_f64().unwrap());
        let floor = 1e-6 * norms.fold(0.0, f64::max);
        check_gradients(net, &facts["gradients"], &gradients, 1e-3, floor);

        net.training_logits(&images("second", self.training), mode).unwrap();
        let state = weights::state(net).unwrap();
        for (name, expected) in facts["statistics"].as_object().unwrap() {
            check_along(name, &state[name], expected, 1e-5, 0.0);
        }
        let logits = net.logits(&images("third", self.inference), &PassMode::default()).unwrap();
        let worst =
            difference(&to_channels_first(&logits), &array(&format!("{}.inference.npy", self.fixture)));
        assert!(worst < 1e-4, "in inference the output differs by {worst}");
        assert_eq!(weights::state(net).unwrap(), state, "inference moves no statistics");
    }
}

/// Names and shapes of all tensors, and the number of trained numbers.
fn census(net: &impl Module) -> (Vec<(String, Vec<usize>)>, usize) {
    let (mut names, mut parameters) = (Vec::new(), 0);
    net.each("", &mut |name, p| {
        if p.is_trainable() {
            parameters += p.tensor().shape().count();
        }
        names.push((name, p.pytorch_dims()));
    });
    (names, parameters)
}

/// The output, gradients and statistics of a training pass on some threads.
fn bits_of_training(net: &impl Network, mode: &PassMode, threads: usize) -> Vec<u32> {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
    pool.install(|| {
        let (mut net, tape) = (net.boxed(), Tape::new());
        let y = net.training_logits(&images("bits", [2, 2, 16, 16, 32]).on(&tape), mode).unwrap();
        let gradients = tape.backward(&sum(&y).unwrap()).unwrap();
        let mut all = y.to_vec::<f32>().unwrap();
        net.each("", &mut |_, p| {
            let numbers = if p.is_trainable() { gradients.get(p.tensor()).unwrap() } else { p.tensor() };
            all.extend(numbers.to_vec::<f32>().unwrap());
        });
        all.into_iter().map(f32::to_bits).collect()
    })
}
