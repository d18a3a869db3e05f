//! What training promises: bits, resumption, and clear ends.

mod support;

use cellseg_models::{
    Error, VolumeView, WNet3dConfig,
    infer::class_maps,
    train::{
        Balance, Checkpoint, End, LabelledVolume, Observer, Reconstruction, StepReport, TrainConfig, Trained,
        ValidationReport, dice, resume, train,
    },
};
use ndarray::Array3;
use std::ops::ControlFlow;
use support::balls;

fn short(steps: u64) -> TrainConfig {
    TrainConfig {
        network: WNet3dConfig { width: 4, ..WNet3dConfig::small() },
        steps,
        batch: 2,
        patch: [8, 16, 16],
        validate_every: 2,
        checkpoint_every: 1,
        ..TrainConfig::default()
    }
}

/// Remembers all that it hears, and stops after a step.
#[derive(Default)]
struct Recorder {
    steps: Vec<StepReport>,
    validations: Vec<ValidationReport>,
    checkpoints: Vec<Checkpoint>,
    stop_after: Option<u64>,
}

impl Observer for Recorder {
    fn step(&mut self, report: &StepReport) -> ControlFlow<()> {
        self.steps.push(report.clone());
        if Some(report.step) == self.stop_after { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }

    fn validation(&mut self, report: &ValidationReport) {
        self.validations.push(*report);
    }

    fn checkpoint(
        &mut self,
        checkpoint: &Checkpoint,
    ) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
        self.checkpoints.push(checkpoint.clone());
        Ok(())
    }
}

fn state(trained: &Trained) -> cellseg_models::weights::State {
    trained.network.state().unwrap()
}

#[test]
fn going_on_from_any_step_gives_the_same_bits() {
    let ((a, _), (b, labels)) = (balls(1, [12, 24, 20]), balls(2, [16, 16, 16]));
    let views = [
        VolumeView::isotropic("a", a.view()),
        VolumeView { spacing: [2.0, 1.0, 1.0], ..VolumeView::isotropic("b", b.view()) },
    ];
    for labelled in [false, true] {
        let validation: Vec<_> = labelled
            .then_some(LabelledVolume { volume: views[1], labels: labels.view() })
            .into_iter()
            .collect();
        let mut whole = Recorder::default();
        let trained = train(&views, &validation, &short(5), &mut whole).unwrap();
        assert_eq!((trained.end, trained.steps), (End::Finished, 5));
        assert_eq!(whole.checkpoints.len(), 5, "four on the way and one at the end");
        for checkpoint in &whole.checkpoints[..4] {
            // Through the parts, as a file would.
            let checkpoint =
                Checkpoint::from_parts(checkpoint.arrays().clone(), checkpoint.metadata().clone()).unwrap();
            let mut rest = Recorder::default();
            let resumed = resume(&checkpoint, &views, &validation, &mut rest).unwrap();
            assert_eq!(rest.steps, whole.steps[checkpoint.step().unwrap() as usize..]);
            assert_eq!(resumed.checkpoint, trained.checkpoint);
            assert_eq!(state(&resumed), state(&trained));
            assert_eq!(resumed.best_dice, trained.best_dice);
        }
    }
}

#[test]
fn a_stop_keeps_a_checkpoint_that_goes_on_with_the_same_bits() {
    let (a, _) = balls(1, [12, 24, 20]);
    let views = [VolumeView::isotropic("a", a.view())];
    let config = TrainConfig { checkpoint_every: 0, ..short(4) };
    let trained = train(&views, &[], &config, &mut ()).unwrap();
    let mut stopping = Recorder { stop_after: Some(3), ..Recorder::default() };
    let stopped = train(&views, &[], &config, &mut stopping).unwrap();
    assert_eq!((stopped.end, stopped.steps, stopping.checkpoints.len()), (End::Stopped, 3, 1));
    let resumed = resume(&stopping.checkpoints[0], &views, &[], &mut ()).unwrap();
    assert_eq!(resumed.checkpoint, trained.checkpoint);
}

#[test]
fn neither_threads_nor_recomputing_change_a_bit_and_the_seed_does() {
    let (a, _) = balls(1, [12, 24, 20]);
    let views = [VolumeView::isotropic("a", a.view())];
    let run = |threads, config: TrainConfig| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| state(&train(&views, &[], &config, &mut ()).unwrap()))
    };
    let one = run(1, short(3));
    assert_eq!(run(2, short(3)), one);
    assert_eq!(run(5, short(3)), one);
    assert_eq!(run(2, TrainConfig { recompute: true, ..short(3) }), one);
    assert_ne!(run(2, TrainConfig { seed: 1, ..short(3) }), one);
}

#[test]
fn balls_are_found_without_labels() {
    let ((a, labels), (b, truth)) = (balls(1, [24, 32, 32]), balls(5, [24, 32, 32]));
    let views = [VolumeView::isotropic("a", a.view())];
    let validation = [LabelledVolume { volume: views[0], labels: labels.view() }];
    let config = TrainConfig {
        network: WNet3dConfig { width: 8, ..WNet3dConfig::small() },
        patch: [16, 24, 24],
        learning_rate: 2e-3,
        validate_every: 10,
        checkpoint_every: 0,
        ..short(40)
    };
    let mut recorder = Recorder::default();
    let trained = train(&views, &validation, &config, &mut recorder).unwrap();
    let first = recorder.steps[0].loss;
    let last = recorder.steps[35..].iter().map(|s| s.loss).sum::<f64>() / 5.0;
    assert!(last < 0.7 * first, "the loss falls: {first} to {last}");
    let (score, at) = trained.best_dice.unwrap();
    assert!(score > 0.9, "Dice {score} at step {at}");
    assert_eq!(recorder.validations.iter().filter_map(|v| v.dice).fold(0.0, f64::max), score);
    // On a volume that it was not trained on, with the settings that training says.
    let view = VolumeView::isotropic("b", b.view());
    let map = class_maps(&trained.network, &view, &config.inference(), &mut ()).unwrap().into_foreground();
    let unseen = dice(map.view(), truth.view());
    assert!(unseen > 0.85, "Dice {unseen}");
}

#[test]
fn training_stops_early_where_nothing_gets_better() {
    let (a, _) = balls(1, [8, 16, 16]);
    let views = [VolumeView::isotropic("a", a.view())];
    // Steps that are too small to change a weight, and one patch only: each look at the loss finds the same.
    let config = TrainConfig {
        network: WNet3dConfig { width: 4, dropout: 0.0, ..WNet3dConfig::small() },
        learning_rate: 1e-30,
        flips: false,
        rotations: false,
        warm_up: 0,
        patience: 2,
        ..short(50)
    };
    let mut recorder = Recorder::default();
    let trained = train(&views, &[], &config, &mut recorder).unwrap();
    assert_eq!((trained.end, trained.steps), (End::NoImprovement, 6));
    assert_eq!(recorder.validations.iter().map(|v| v.best).collect::<Vec<_>>(), [true, false, false]);
}

#[test]
fn the_automatic_balance_weighs_the_share_of_the_image_that_is_unexplained() {
    let (a, _) = balls(1, [8, 16, 16]);
    let views = [VolumeView::isotropic("a", a.view())];
    let first = |reconstruction, balance| {
        let config = TrainConfig { reconstruction, balance, decoder_gain: 1.0, warm_up: 0, ..short(1) };
        let mut recorder = Recorder::default();
        train(&views, &[], &config, &mut recorder).unwrap();
        recorder.steps.remove(0)
    };
    for reconstruction in [Reconstruction::Mse, Reconstruction::Bce] {
        let auto = first(reconstruction, Balance::Auto { share: 1.0 });
        let share = auto.loss - auto.term("n_cuts");
        // A fresh decoder paints nearly black: worse than the best grey, and not by orders.
        assert!(share > 0.8 && share < 8.0, "{reconstruction:?}: {share}");
        let twice = first(reconstruction, Balance::Auto { share: 2.0 });
        assert!(
            (twice.loss - twice.term("n_cuts") - 2.0 * share).abs() < 1e-4 * share,
            "the share is a weight"
        );
        let fixed = first(reconstruction, Balance::Fixed { weight: 0.25 });
        assert!(
            (fixed.loss - fixed.term("n_cuts") - 0.25 * fixed.term("reconstruction")).abs()
                < 1e-4 * fixed.loss
        );
    }
}

#[test]
fn a_loss_that_is_no_number_is_an_error_that_names_the_step() {
    let (a, _) = balls(1, [8, 16, 16]);
    let views = [VolumeView::isotropic("a", a.view())];
    let config = TrainConfig { learning_rate: 1e37, ..short(10) };
    match train(&views, &[], &config, &mut ()) {
        Err(e @ Error::Diverged { step, .. }) => {
            assert!(step > 1 && e.to_string().contains("learning_rate"), "{e}");
        }
        other => panic!("{:?}", other.map(|t| t.steps)),
    }
}

#[test]
fn a_checkpoint_that_cannot_be_stored_ends_training() {
    struct FullDisk;
    impl Observer for FullDisk {
        fn checkpoint(&mut self, _: &Checkpoint) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
            Err("no space left on device".into())
        }
    }
    let (a, _) = balls(1, [8, 16, 16]);
    let views = [VolumeView::isotropic("a", a.view())];
    let why = train(&views, &[], &short(2), &mut FullDisk).unwrap_err().to_string();
    assert!(why.contains("no space left on device"), "{why}");
}

#[test]
fn bad_volumes_and_settings_are_named() {
    let (a, labels) = balls(1, [8, 16, 16]);
    let view = VolumeView::isotropic("a.tif", a.view());
    let fails = |volumes: &[VolumeView<'_>], validation: &[LabelledVolume<'_>], config| {
        train(volumes, validation, &config, &mut ()).unwrap_err().to_string()
    };
    assert!(fails(&[], &[], short(1)).contains("volumes"));
    let constant = Array3::from_elem((8, 8, 8), 3.0f32);
    assert!(fails(&[VolumeView::isotropic("flat.tif", constant.view())], &[], short(1)).contains("flat.tif"));
    let mut holed = a.clone();
    holed[[1, 1, 1]] = f32::NAN;
    assert!(
        fails(&[view, VolumeView::isotropic("nan.tif", holed.view())], &[], short(1)).contains("nan.tif")
    );
    let small = labels.slice(ndarray::s![..4, .., ..]);
    assert!(
        fails(&[view], &[LabelledVolume { volume: view, labels: small }], short(1)).contains("(4, 16, 16)")
    );
    for (config, field) in [
        (TrainConfig { patch: [8, 12, 8], ..short(1) }, "patch"),
        (TrainConfig { steps: 0, ..short(1) }, "steps"),
        (TrainConfig { learning_rate: f64::NAN, ..short(1) }, "learning_rate"),
        (TrainConfig { balance: Balance::Auto { share: -1.0 }, ..short(1) }, "balance.share"),
    ] {
        let why = fails(&[view], &[], config);
        assert!(why.contains(&format!("`{field}`")), "{why}");
    }
}

#[test]
fn volumes_smaller_than_a_patch_are_trained_on() {
    let (a, _) = balls(1, [3, 9, 40]);
    let views = [VolumeView::isotropic("a", a.view())];
    assert_eq!(train(&views, &[], &short(2), &mut ()).unwrap().steps, 2);
}

#[test]
fn checkpoints_of_something_else_are_refused() {
    let ((a, labels), (b, _)) = (balls(1, [8, 16, 16]), balls(1, [8, 16, 24]));
    let (a, b) = (VolumeView::isotropic("a", a.view()), VolumeView::isotropic("b", b.view()));
    let checkpoint = train(&[a], &[], &short(1), &mut ()).unwrap().checkpoint;
    let why = |e: Result<Trained, Error>| e.unwrap_err().to_string();
    assert!(why(resume(&checkpoint, &[b], &[], &mut ())).contains("[8, 16, 24]"));
    let labelled = [LabelledVolume { volume: a, labels: labels.view() }];
    assert!(why(resume(&checkpoint, &[a], &labelled, &mut ())).contains("labelled"));
    let parts = |change: &dyn Fn(&mut std::collections::BTreeMap<String, String>)| {
        let mut metadata = checkpoint.metadata().clone();
        change(&mut metadata);
        Checkpoint::from_parts(checkpoint.arrays().clone(), metadata).unwrap_err().to_string()
    };
    assert!(parts(&|m| m.clear()).contains("without the state of training"));
    assert!(parts(&|m| drop(m.insert("format".into(), "other".into()))).contains("`other`"));
    assert!(parts(&|m| drop(m.insert("config".into(), "{\"stepz\": 3}".into()))).contains("stepz"));
    let mut arrays = checkpoint.arrays().clone();
    arrays.retain(|name, _| !name.starts_with("adam.exp_avg_sq.decoder"));
    let damaged = Checkpoint::from_parts(arrays, checkpoint.metadata().clone()).unwrap();
    assert!(why(resume(&damaged, &[a], &[], &mut ())).contains("84 missing"));
}

#[test]
fn weights_of_a_checkpoint_are_those_to_use() {
    let (a, labels) = balls(1, [8, 16, 16]);
    let view = VolumeView::isotropic("a", a.view());
    let validation = [LabelledVolume { volume: view, labels: labels.view() }];
    for validation in [&validation[..], &[]] {
        let trained = train(&[view], validation, &short(4), &mut ()).unwrap();
        assert_eq!(trained.checkpoint.weights(), state(&trained));
        assert_eq!(trained.checkpoint.network().unwrap().state().unwrap(), state(&trained));
        assert_eq!(trained.checkpoint.best_dice().unwrap(), trained.best_dice.map(|(score, _)| score));
    }
}

#[test]
fn settings_survive_text_and_unknown_ones_are_refused() {
    for config in [TrainConfig::default(), TrainConfig::paper(), short(7)] {
        let text = serde_json::to_string(&config).unwrap();
        assert_eq!(serde_json::from_str::<TrainConfig>(&text).unwrap(), config);
        config.validate().unwrap();
    }
    let partial: TrainConfig = serde_json::from_str(r#"{"steps": 3, "network": {"width": 32}}"#).unwrap();
    assert_eq!((partial.steps, partial.network.width, partial.batch), (3, 32, TrainConfig::default().batch));
    assert!(serde_json::from_str::<TrainConfig>(r#"{"stepz": 3}"#).is_err());
    assert!(
        serde_json::from_str::<TrainConfig>(
            r#"{"normalisation": {"kind": "percentile", "low": 1, "high": 99, "sigma": 3}}"#
        )
        .is_err()
    );
}
