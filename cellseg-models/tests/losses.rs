//! The losses of supervised training against MONAI's.

mod support;

use cellseg_core::{
    DType, Tape, Tensor,
    testing::{check_gradients, noise, relative_l2, wide},
};
use cellseg_models::{
    OutputActivation,
    losses::{Overlap, SegmentationLoss, dice, tversky},
};
use serde_json::Value;
use support::{facts, splitmix};

const DIMS: [usize; 4] = [2, 2, 3, 4];
const VOXELS: usize = 2 * 2 * 3 * 4;

/// One case of `fixtures/make_losses.py`.
struct Case {
    loss: SegmentationLoss,
    overlap: Overlap,
    logits: Tensor,
    target: Tensor,
    value: f64,
    gradient: Vec<f64>,
}

impl Case {
    fn read(case: &Value) -> Self {
        let text = |key: &str| case[key].as_str().unwrap();
        let count = |key: &str| case[key].as_u64().unwrap() as usize;
        let (name, c) = (text("name"), count("channels"));
        let logits: Vec<f64> =
            splitmix(&format!("{name}.logits"), VOXELS * c).into_iter().map(|u| 6.0 * u - 3.0).collect();
        let classes = splitmix(&format!("{name}.classes"), VOXELS);
        let target: Vec<f64> = classes
            .into_iter()
            .map(|u| (u * count("classes") as f64) as usize)
            .flat_map(|class| (0..c).map(move |k| f64::from(u8::from(class == k.max(usize::from(c == 1))))))
            .collect();
        let [n, d, h, w] = DIMS;
        let tensor = |xs: &[f64]| Tensor::from_slice(xs, &[n, d, h, w, c]).unwrap();
        Case {
            loss: match text("loss") {
                "dice" => SegmentationLoss::Dice,
                "generalized_dice" => SegmentationLoss::GeneralizedDice,
                "dice_ce" => SegmentationLoss::DiceCe { cross_entropy: 0.5 },
                "tversky" => SegmentationLoss::Tversky { alpha: 0.3, beta: 0.7 },
                other => panic!("{other}"),
            },
            overlap: Overlap {
                activation: match text("probability") {
                    "sigmoid" => OutputActivation::Sigmoid,
                    _ => OutputActivation::Softmax,
                },
                background: case["background"].as_bool().unwrap(),
                batch: case["batch"].as_bool().unwrap(),
                ..Overlap::default()
            },
            logits: tensor(&logits),
            target: tensor(&target),
            value: case["value"].as_f64().unwrap(),
            gradient: case["gradient"].as_array().unwrap().iter().map(|g| g.as_f64().unwrap()).collect(),
        }
    }

    /// The loss and the gradient of the logits in a type.
    fn run(&self, dtype: DType) -> (f64, Vec<f64>) {
        let tape = Tape::new();
        let logits = self.logits.cast(dtype).unwrap().trainable().on(&tape);
        let loss = self.loss.of(&logits, &self.target.cast(dtype).unwrap(), &self.overlap).unwrap();
        assert_eq!(loss.shape().rank(), 0);
        let seed = Tensor::scalar(1.0f64).unwrap().cast(dtype).unwrap();
        let gradients = tape.backward_from(&loss, seed).unwrap();
        (loss.item().unwrap(), wide(gradients.get(&logits).unwrap()))
    }
}

fn cases() -> Vec<(String, Case)> {
    let facts = facts("losses.json");
    let name = |c: &Value| format!("{} {}", c["loss"], c["name"]);
    facts.as_array().unwrap().iter().map(|c| (name(c), Case::read(c))).collect()
}

#[test]
fn values_and_gradients_are_those_of_monai() {
    let cases = cases();
    assert_eq!(cases.len(), 28);
    for (name, case) in cases {
        // MONAI weighs the generalised Dice loss in single precision whatever its inputs are.
        for (dtype, tolerance) in [(DType::F64, 2e-7), (DType::F32, 3e-6)] {
            let (value, gradient) = case.run(dtype);
            assert!((value - case.value).abs() < tolerance, "{name}: {value}, MONAI {}", case.value);
            let error = relative_l2(&gradient, &case.gradient);
            assert!(error < 3.0 * tolerance, "{name}: the gradient is off by {error}");
        }
    }
}

#[test]
fn gradients_are_those_of_differences() {
    for (name, case) in cases() {
        println!("{name}");
        let of =
            |x: &[Tensor]| Ok(case.loss.of(&x[0], &case.target, &case.overlap).expect("the shapes agree"));
        check_gradients(std::slice::from_ref(&case.logits), 1e-5, of);
    }
}

#[test]
fn a_perfect_prediction_costs_nothing_and_a_wrong_one_everything() {
    let truth: Vec<f64> = (0..24).map(|i| f64::from(u8::from(i % 3 == 0))).collect();
    let target = Tensor::from_slice(&truth, &[1, 2, 3, 4, 1]).unwrap();
    let sure = |sign: f64| {
        let logits: Vec<f64> = truth.iter().map(|t| sign * (80.0 * t - 40.0)).collect();
        Tensor::from_slice(&logits, &[1, 2, 3, 4, 1]).unwrap()
    };
    for loss in [
        SegmentationLoss::Dice,
        SegmentationLoss::GeneralizedDice,
        SegmentationLoss::DiceCe { cross_entropy: 1.0 },
        SegmentationLoss::Tversky { alpha: 0.3, beta: 0.7 },
    ] {
        let of = |logits| loss.of(&logits, &target, &Overlap::default()).unwrap().item().unwrap();
        assert!(of(sure(1.0)).abs() < 1e-9, "{loss:?}");
        assert!(of(sure(-1.0)) > 0.999, "{loss:?}");
    }
}

#[test]
fn tversky_of_one_half_is_dice_but_for_the_smoothing() {
    let (logits, target) = (noise(&[2, 3, 4, 5, 1], 1), noise(&[2, 3, 4, 5, 1], 2));
    let hard: Vec<f64> = wide(&target).iter().map(|x| f64::from(u8::from(*x > 0.5))).collect();
    let target = Tensor::from_slice(&hard, target.shape().dims()).unwrap();
    let plain = Overlap { smooth_numerator: 0.0, smooth_denominator: 0.0, ..Overlap::default() };
    let a = dice(&logits, &target, &plain).unwrap().item().unwrap();
    let b = tversky(&logits, &target, [0.5; 2], &plain).unwrap().item().unwrap();
    assert!((a - b).abs() < 1e-14, "{a} and {b}");
}

#[test]
fn other_shapes_a_softmax_of_one_channel_and_weights_below_zero_are_named() {
    let (one, two) = (noise(&[1, 2, 2, 2, 1], 1), noise(&[1, 2, 2, 2, 2], 1));
    let softmax = Overlap { activation: OutputActivation::Softmax, ..Overlap::default() };
    let why = |logits, target, overlap| {
        SegmentationLoss::default().of(logits, target, &overlap).unwrap_err().to_string()
    };
    assert!(why(&one, &two, Overlap::default()).contains("[1, 2, 2, 2, 2]"));
    assert!(why(&one, &one, softmax).contains("two channels"));
    let flat = one.reshape(&[8]).unwrap();
    assert!(why(&flat, &flat, Overlap::default()).contains("[8]"));
    for (loss, field) in [
        (SegmentationLoss::DiceCe { cross_entropy: -1.0 }, "`loss.cross_entropy`"),
        (SegmentationLoss::Tversky { alpha: 0.5, beta: f64::NAN }, "`loss.beta`"),
    ] {
        assert!(loss.validate().unwrap_err().to_string().contains(field));
    }
}
