use super::*;
use cellseg_core::testing::noise;

const NAMES: [&str; 3] = ["a.weight", "a.bias", "b.weight"];
const SHAPES: [&[usize]; 3] = [&[3, 5], &[1], &[2, 100, 101]];

fn parameters() -> Vec<Tensor> {
    SHAPES.iter().zip(1..).map(|(dims, seed)| noise(dims, seed).cast(DType::F32).unwrap()).collect()
}

/// Steps `from..to` with gradients that depend on the step and the parameters.
fn descend<R: Rule>(optimizer: &mut Optimizer<R>, parameters: &mut [Tensor], steps: std::ops::Range<u64>) {
    for step in steps {
        let pull = |(i, p): (u64, &Tensor)| {
            let noise = noise(p.shape().dims(), 10 * step + i).cast(DType::F32)?;
            crate::pointwise::add(noise, p)
        };
        let gradients: Vec<Tensor> = (0..).zip(&*parameters).map(|p| pull(p).unwrap()).collect();
        let all = NAMES.iter().zip(&mut *parameters).zip(&gradients);
        optimizer.step(all.map(|((name, p), g)| (*name, p, g))).unwrap();
    }
}

fn bits(parameters: &[Tensor]) -> Vec<u32> {
    parameters.iter().flat_map(|p| p.to_vec::<f32>().unwrap()).map(f32::to_bits).collect()
}

fn goes_on_after_a_stop<R: Rule + Clone>(rule: R) {
    let (mut whole, mut through) = (Optimizer::new(rule.clone()), parameters());
    descend(&mut whole, &mut through, 0..7);
    let (mut first, mut stopped) = (Optimizer::new(rule.clone()), parameters());
    descend(&mut first, &mut stopped, 0..4);
    let mut second = Optimizer::resume(rule, first.states().clone());
    drop(first);
    descend(&mut second, &mut stopped, 4..7);
    assert_eq!(bits(&stopped), bits(&through));
    assert!(second.states().values().all(|s| s.step == 7));
}

#[test]
fn a_resumed_optimiser_gives_the_same_bits() {
    goes_on_after_a_stop(Adam { weight_decay: 0.01, ..Adam::default() });
    goes_on_after_a_stop(Adam::decoupled());
    goes_on_after_a_stop(Sgd { momentum: 0.9, dampening: 0.1, ..Sgd::default() });
    goes_on_after_a_stop(Sgd { weight_decay: 0.1, ..Sgd::default() });
}

#[test]
fn the_number_of_threads_changes_no_bit() {
    let on = |threads| {
        rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap().install(|| {
            let mut p = parameters();
            descend(&mut Optimizer::new(Adam::decoupled()), &mut p, 0..3);
            let norm = clip_norm(&mut p, 1.0).unwrap();
            (bits(&p), norm.to_bits())
        })
    };
    assert_eq!(on(1), on(3));
}

#[test]
fn a_parameter_is_written_in_place() -> Result<()> {
    let mut p = noise(&[10], 1).trainable();
    let at = p.as_slice::<f64>()?.as_ptr();
    Optimizer::new(Adam::default()).step([("p", &mut p, &noise(&[10], 2))])?;
    assert_eq!(p.as_slice::<f64>()?.as_ptr(), at);
    assert!(p.wants_gradient());
    Ok(())
}

#[test]
fn a_parameter_without_a_gradient_does_not_age() -> Result<()> {
    let (mut a, mut b) = (noise(&[3], 1), noise(&[3], 2));
    let g = noise(&[3], 3);
    let mut adam = Optimizer::new(Adam::default());
    adam.step([("a", &mut a, &g)])?;
    adam.step([("a", &mut a, &g), ("b", &mut b, &g)])?;
    assert_eq!(adam.states().values().map(|s| s.step).collect::<Vec<_>>(), [2, 1]);
    Ok(())
}

#[test]
fn gradients_are_scaled_to_a_norm_and_cut_to_a_value() -> Result<()> {
    let mut gs = [Tensor::from_slice(&[3.0f32, 0.0], &[2])?, Tensor::from_slice(&[4.0], &[1])?];
    assert_eq!(clip_norm(&mut gs, 10.0)?, 5.0);
    assert_eq!(gs[0].to_vec::<f32>()?, [3.0, 0.0]);
    assert_eq!(clip_norm(&mut gs, 1.0)?, 5.0);
    assert!((gs[0].to_vec::<f32>()?[0] - 0.6).abs() < 1e-6 && (gs[1].to_vec::<f64>()?[0] - 0.8).abs() < 1e-6);
    let mut g = Tensor::from_slice(&[-3.0f32, 0.1, 5.0, f32::NAN, f32::INFINITY], &[5])?;
    assert!(clip_norm([&mut g], 1.0)?.is_nan());
    clip_value([&mut g], 0.5)?;
    let cut = g.to_vec::<f32>()?;
    assert_eq!((&cut[..3], cut[4]), (&[-0.5, 0.1, 0.5][..], 0.5));
    assert!(cut[3].is_nan());
    Ok(())
}

#[test]
fn mistakes_name_what_was_given_and_move_nothing() -> Result<()> {
    let told = |r: Result<()>| r.expect_err("an error").to_string();
    let (mut a, mut b, g) = (noise(&[3], 1), noise(&[4], 2), noise(&[3], 3));
    let before = a.to_vec::<f64>()?;
    let mut adam = Optimizer::new(Adam::default());
    let why = told(adam.step([("a", &mut a, &g), ("b", &mut b, &g)]));
    assert!(why.contains("gradient of b") && why.contains("[3]") && why.contains("[4]"), "{why}");
    assert_eq!(a.to_vec::<f64>()?, before);
    assert!(told(adam.step([("a", &mut a, &g), ("a", &mut b, &noise(&[4], 1))])).contains("given twice"));
    assert!(told(adam.step([("a", &mut a, &g.cast(DType::F32)?)])).contains("F32"));
    let mut half = a.cast(DType::F16)?;
    assert!(told(adam.step([("a", &mut half, &g.cast(DType::F16)?)])).contains("F16"));
    adam.step([("a", &mut a, &g)])?;
    let mut foreign = Optimizer::resume(Adam::default(), adam.states().clone());
    assert!(told(foreign.step([("a", &mut b, &noise(&[4], 1))])).contains("exp_avg of a"));
    let mut other = Optimizer::resume(Sgd { momentum: 0.9, ..Sgd::default() }, adam.states().clone());
    assert!(told(other.step([("a", &mut a, &g)])).contains("2 arrays"));
    for adam in [
        Adam { lr: -1.0, ..Adam::default() },
        Adam { betas: (0.9, 1.0), ..Adam::default() },
        Adam { eps: f64::NAN, ..Adam::default() },
    ] {
        assert!(Optimizer::new(adam).step([("a", &mut a, &g)]).is_err());
    }
    assert!(told(Sgd { nesterov: true, ..Sgd::default() }.check()).contains("momentum above zero"));
    assert!(clip_norm([&mut a], -1.0).is_err() && clip_value([&mut half], 1.0).is_err());
    Ok(())
}
