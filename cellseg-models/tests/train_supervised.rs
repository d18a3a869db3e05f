//! What training with labels promises: what is learnt, bits, resumption, and clear ends.

mod support;

use cellseg_models::{
    Compute, Error, Network, SegResNetConfig, SwinUnetrConfig, TrailmapConfig, VNetConfig, VolumeView,
    WNet3d, WNet3dConfig,
    augment::Augmentation,
    infer::{ForegroundClass, class_maps},
    losses::SegmentationLoss,
    swin_unetr,
    train::{
        Checkpoint, End, LabelledVolume, NetworkConfig, Observer, StepReport, SupervisedConfig, Trained,
        ValidationReport, dice, hold_out, resume_supervised, train, train_supervised,
    },
    weights::{State, state},
};
use ndarray::Array3;
use std::ops::ControlFlow;
use support::balls;

fn short(steps: u64) -> SupervisedConfig {
    SupervisedConfig {
        network: NetworkConfig::UNet { width: 4, dropout: 0.1 },
        steps,
        batch: 2,
        patch: [8, 16, 16],
        validate_every: 2,
        checkpoint_every: 1,
        warm_up: 2,
        hold_out: 0.0,
        ..SupervisedConfig::default()
    }
}

/// Trains the network of `config`.
fn run<'a>(
    volumes: &[LabelledVolume<'a>],
    validation: &[LabelledVolume<'a>],
    config: &SupervisedConfig,
    observer: &mut dyn Observer,
) -> Result<Trained<Box<dyn Network>>, Error> {
    train_supervised(config.network.build(config.seed)?, volumes, validation, config, observer)
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

    fn checkpoint(&mut self, c: &Checkpoint) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
        self.checkpoints.push(c.clone());
        Ok(())
    }
}

fn weights(trained: &Trained<Box<dyn Network>>) -> State {
    state(&*trained.network).unwrap()
}

/// Balls that are darker than the ground, so that brightness tells the wrong class.
fn dark_balls(seed: u64, dims: [usize; 3]) -> (Array3<f32>, Array3<u32>) {
    let (image, labels) = balls(seed, dims);
    (image.mapv(|v| 500.0 - v), labels)
}

fn labelled<'a>(name: &'a str, of: &'a (Array3<f32>, Array3<u32>)) -> LabelledVolume<'a> {
    LabelledVolume { volume: VolumeView::isotropic(name, of.0.view()), labels: of.1.view() }
}

#[test]
fn balls_are_found_whether_they_are_bright_or_dark() {
    for make in [balls, dark_balls] {
        let [a, b, c] = [1, 5, 6].map(|seed| make(seed, [24, 32, 32]));
        let config = SupervisedConfig {
            network: NetworkConfig::UNet { width: 8, dropout: 0.0 },
            batch: 1,
            patch: [16, 24, 24],
            learning_rate: 3e-3,
            validate_every: 10,
            checkpoint_every: 0,
            hold_out: 0.5,
            ..short(60)
        };
        let mut recorder = Recorder::default();
        // The second is kept back, and tells which step was best.
        let trained = run(&[labelled("a", &a), labelled("b", &b)], &[], &config, &mut recorder).unwrap();
        let first = recorder.steps[0].loss;
        let last = recorder.steps[50..].iter().map(|s| s.loss).sum::<f64>() / 10.0;
        assert!(last < 0.5 * first, "the loss falls: {first} to {last}");
        let (best, at) = trained.best_dice.unwrap();
        assert!(best > 0.95, "Dice {best} at step {at}");
        assert_eq!(recorder.validations.iter().filter_map(|v| v.dice).fold(0.0, f64::max), best);
        // On a volume that it was not trained on, with the settings that training says.
        assert_eq!(config.inference().foreground, ForegroundClass::Last);
        let view = VolumeView::isotropic("c", c.0.view());
        let map = class_maps(&*trained.network, &view, &config.inference(), &mut ()).unwrap();
        let unseen = dice(map.into_foreground().view(), c.1.view());
        assert!(unseen > 0.93, "Dice {unseen}");
    }
}

#[test]
fn every_loss_is_minimised() {
    let a = balls(1, [16, 24, 24]);
    for loss in [
        SegmentationLoss::Dice,
        SegmentationLoss::GeneralizedDice,
        SegmentationLoss::DiceCe { cross_entropy: 0.5 },
        SegmentationLoss::Tversky { alpha: 0.3, beta: 0.7 },
    ] {
        let config = SupervisedConfig { loss, learning_rate: 5e-3, checkpoint_every: 0, ..short(40) };
        let mut recorder = Recorder::default();
        run(&[labelled("a", &a)], &[], &config, &mut recorder).unwrap();
        let mean = |steps: &[StepReport]| steps.iter().map(|s| s.loss).sum::<f64>() / steps.len() as f64;
        let (first, last) = (mean(&recorder.steps[..5]), mean(&recorder.steps[35..]));
        assert!(last < 0.85 * first, "{loss:?}: {first} to {last}");
    }
}

#[test]
fn going_on_from_any_step_gives_the_same_bits() {
    let (a, b) = (balls(1, [12, 24, 20]), balls(2, [16, 16, 16]));
    let mut volumes = [labelled("a", &a), labelled("b", &b)];
    volumes[1].volume.spacing = [2.0, 1.0, 1.0];
    let always = Augmentation { share: 0.7, ..Augmentation::default() };
    for (validation, compute) in [(&volumes[1..], Compute::F32), (&[], Compute::F16)] {
        let config = SupervisedConfig { augmentation: always, compute, ..short(5) };
        let mut whole = Recorder::default();
        let trained = run(&volumes, validation, &config, &mut whole).unwrap();
        assert_eq!((trained.end, trained.steps), (End::Finished, 5));
        for checkpoint in &whole.checkpoints[..4] {
            // Through the parts, as a file would.
            let checkpoint =
                Checkpoint::from_parts(checkpoint.arrays().clone(), checkpoint.metadata().clone()).unwrap();
            assert_eq!(checkpoint.supervised_config().unwrap(), config);
            // Whatever its weights are, they are replaced.
            let other = config.network.build(99).unwrap();
            let mut rest = Recorder::default();
            let resumed = resume_supervised(other, &checkpoint, &volumes, validation, &mut rest).unwrap();
            assert_eq!(rest.steps, whole.steps[checkpoint.step().unwrap() as usize..]);
            assert_eq!(resumed.checkpoint, trained.checkpoint);
            assert_eq!(weights(&resumed), weights(&trained));
            assert_eq!(resumed.best_dice, trained.best_dice);
        }
        assert_eq!(trained.checkpoint.weights(), weights(&trained));
    }
}

#[test]
fn networks_of_other_architectures_learn_and_go_on_with_the_same_bits() {
    let a = balls(1, [32, 32, 32]);
    let swin = SwinUnetrConfig { feature_size: 4, depths: [1; 4], heads: [1; 4], ..SwinUnetrConfig::small() };
    for network in [
        NetworkConfig::SwinUnetr(swin),
        // Its batch normalisations gather statistics, which are no weights but belong to its state.
        NetworkConfig::Trailmap(TrailmapConfig { width: 4, ..TrailmapConfig::default() }),
        NetworkConfig::VNet(VNetConfig { width: 2, ..VNetConfig::default() }),
    ] {
        let config = SupervisedConfig {
            network,
            patch: [32; 3],
            batch: 1,
            learning_rate: 3e-3,
            checkpoint_every: 4,
            validate_every: 8,
            ..short(8)
        };
        let volumes = [labelled("a", &a)];
        let mut whole = Recorder::default();
        let trained = run(&volumes, &volumes, &config, &mut whole).unwrap();
        assert!(whole.steps[7].loss < whole.steps[0].loss, "{:?}", config.network);
        let network = config.network.build(7).unwrap();
        let resumed = resume_supervised(network, &whole.checkpoints[0], &volumes, &volumes, &mut ()).unwrap();
        assert_eq!(resumed.checkpoint, trained.checkpoint);
        let (read, inference) = trained.checkpoint.network_and_use().unwrap();
        assert_eq!(state(&*read).unwrap(), trained.checkpoint.weights());
        assert_eq!(inference, config.inference());
    }
}

#[test]
fn neither_threads_nor_recomputing_change_a_bit_and_the_seed_does() {
    let a = balls(1, [12, 24, 20]);
    let run = |threads, config: SupervisedConfig| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| weights(&run(&[labelled("a", &a)], &[], &config, &mut ()).unwrap()))
    };
    let one = run(1, short(3));
    assert_eq!(run(3, short(3)), one);
    assert_eq!(run(2, SupervisedConfig { recompute: true, ..short(3) }), one);
    assert_ne!(run(2, SupervisedConfig { seed: 1, ..short(3) }), one);
}

#[test]
fn a_network_that_was_trained_without_labels_is_a_start() {
    let a = balls(1, [16, 24, 24]);
    let size = WNet3dConfig { width: 4, ..WNet3dConfig::small() };
    let whole = WNet3d::new(&size, 0).unwrap();
    let encoder: State =
        whole.state().unwrap().into_iter().filter(|(n, _)| n.starts_with("encoder.")).collect();
    let start = Box::new(WNet3d::from_state(&encoder).unwrap());
    // One step with a rate that moves nothing: it began where the other had ended.
    let config = SupervisedConfig { learning_rate: 1e-30, weight_decay: 0.0, ..short(1) };
    let trained = train_supervised(start, &[labelled("a", &a)], &[], &config, &mut ()).unwrap();
    let moved = weights(&trained).into_iter().map(|(name, a)| (a - &encoder[&name]).mapv(f32::abs).sum());
    assert!(moved.sum::<f32>() < 1e-20);
}

#[test]
fn instance_labels_and_semantic_labels_teach_the_same() {
    let (image, instances) = balls(1, [12, 24, 20]);
    let semantic = instances.mapv(|l| u32::from(l > 0));
    let bits = |labels: &Array3<u32>| {
        let of = LabelledVolume { volume: VolumeView::isotropic("a", image.view()), labels: labels.view() };
        weights(&run(&[of], &[], &short(2), &mut ()).unwrap())
    };
    assert!(instances.iter().any(|&l| l > 1));
    assert_eq!(bits(&instances), bits(&semantic));
}

#[test]
fn volumes_smaller_than_a_patch_are_trained_on() {
    let a = balls(1, [3, 20, 40]);
    let always = Augmentation { share: 1.0, ..Augmentation::default() };
    let config = SupervisedConfig { augmentation: always, ..short(3) };
    assert_eq!(run(&[labelled("a", &a)], &[], &config, &mut ()).unwrap().steps, 3);
}

#[test]
fn training_stops_early_where_nothing_gets_better() {
    let a = balls(1, [16, 24, 24]);
    let volumes = [labelled("a", &a)];
    let config = SupervisedConfig { learning_rate: 1e-30, patience: 2, ..short(50) };
    let mut recorder = Recorder::default();
    let trained = run(&volumes, &volumes, &config, &mut recorder).unwrap();
    assert_eq!((trained.end, trained.steps), (End::NoImprovement, 6));
    assert_eq!(recorder.validations.iter().map(|v| v.best).collect::<Vec<_>>(), [true, false, false]);
}

#[test]
fn labels_that_nothing_can_be_learnt_from_are_named() {
    let (image, labels) = balls(1, [8, 16, 16]);
    let why = |labels: &Array3<u32>| {
        let of =
            LabelledVolume { volume: VolumeView::isotropic("a.tif", image.view()), labels: labels.view() };
        run(&[of], &[], &short(1), &mut ()).unwrap_err().to_string()
    };
    let empty = why(&Array3::zeros((8, 16, 16)));
    assert!(empty.contains("a.tif") && empty.contains("no foreground"), "{empty}");
    let full = why(&labels.mapv(|_| 3));
    assert!(full.contains("a.tif") && full.contains("background must be 0"), "{full}");
    let turned = why(&Array3::zeros((16, 16, 8)));
    assert!(turned.contains("(16, 16, 8)") && turned.contains("(8, 16, 16)"), "{turned}");
    let nothing = run(&[], &[], &short(1), &mut ()).unwrap_err().to_string();
    assert!(nothing.contains("labelled volume"), "{nothing}");
    // A volume without foreground beside one with it shows what is no foreground.
    let none = Array3::zeros((8, 16, 16));
    let view = VolumeView::isotropic("a.tif", image.view());
    let both = [
        LabelledVolume { volume: view, labels: labels.view() },
        LabelledVolume { volume: view, labels: none.view() },
    ];
    run(&both, &both, &short(1), &mut ()).unwrap();
    let why = run(&both, &both[1..], &short(1), &mut ()).unwrap_err().to_string();
    assert!(why.contains("a.tif") && why.contains("validation holds foreground"), "{why}");
}

#[test]
fn settings_out_of_range_and_networks_that_do_not_fit_are_named() {
    let a = balls(1, [8, 16, 16]);
    let named = |config: SupervisedConfig, field: &str| {
        let why = run(&[labelled("a", &a)], &[], &config, &mut ()).unwrap_err().to_string();
        assert!(why.contains(&format!("`{field}`")), "{why}");
    };
    named(SupervisedConfig { patch: [8, 12, 8], ..short(1) }, "patch");
    named(SupervisedConfig { steps: 0, ..short(1) }, "steps");
    named(SupervisedConfig { foreground_share: 1.5, ..short(1) }, "foreground_share");
    named(SupervisedConfig { hold_out: 1.0, ..short(1) }, "hold_out");
    let bent = Augmentation { bend: 9.0, ..Augmentation::default() };
    named(SupervisedConfig { augmentation: bent, ..short(1) }, "augmentation.bend");
    named(
        SupervisedConfig { loss: SegmentationLoss::DiceCe { cross_entropy: -1.0 }, ..short(1) },
        "loss.cross_entropy",
    );
    for batch in [1 << 44, usize::MAX / 8] {
        let refused = run(&[labelled("a", &a)], &[], &SupervisedConfig { batch, ..short(1) }, &mut ());
        assert!(refused.is_err(), "{batch}");
    }
    let three = WNet3d::encoder_only(&WNet3dConfig { width: 4, classes: 3, ..WNet3dConfig::small() }, 0);
    let why = train_supervised(Box::new(three.unwrap()), &[labelled("a", &a)], &[], &short(1), &mut ());
    assert!(why.unwrap_err().to_string().contains("`class_count`"));
}

#[test]
fn checkpoints_of_the_other_kind_of_training_or_of_another_network_are_refused() {
    let a = balls(1, [8, 16, 16]);
    let volumes = [labelled("a", &a)];
    let checkpoint = run(&volumes, &[], &short(1), &mut ()).unwrap().checkpoint;
    assert!(checkpoint.is_supervised() && checkpoint.inference().unwrap() == short(1).inference());
    let why = checkpoint.config().unwrap_err().to_string();
    assert!(why.contains("with or without labels"), "{why}");
    let without = cellseg_models::train::TrainConfig {
        network: WNet3dConfig { width: 4, ..WNet3dConfig::small() },
        steps: 1,
        patch: [8, 16, 16],
        ..Default::default()
    };
    let other = train(&[volumes[0].volume], &[], &without, &mut ()).unwrap().checkpoint;
    assert!(!other.is_supervised());
    let network = || short(1).network.build(0).unwrap();
    let why = resume_supervised(network(), &other, &volumes, &[], &mut ()).unwrap_err().to_string();
    assert!(why.contains("with or without labels"), "{why}");
    let wide = NetworkConfig::UNet { width: 8, dropout: 0.0 }.build(0).unwrap();
    let refused = resume_supervised(wide, &checkpoint, &volumes, &[], &mut ());
    assert!(matches!(refused, Err(Error::Setting { field: "network", .. })));
}

#[test]
fn held_out_are_the_last_volumes_or_the_last_slices_of_one() {
    let mut all: Vec<_> = (0..5).map(|seed| balls(seed, [8, 16, 24])).collect();
    all[0].1[[0, 0, 0]] = 7;
    all[0].1[[0, 0, 23]] = 8;
    let volumes: Vec<_> = all.iter().map(|of| labelled("v", of)).collect();
    let (train, validation) = hold_out(&volumes, 0.2).unwrap();
    assert_eq!((train.len(), validation.len()), (4, 1));
    assert_eq!(validation[0].labels, all[4].1);
    let (train, validation) = hold_out(&volumes[..2], 0.01).unwrap();
    assert_eq!((train.len(), validation.len()), (1, 1), "at least one on either side");
    let (train, validation) = hold_out(&volumes[..1], 0.25).unwrap();
    assert_eq!((train[0].labels.dim(), validation[0].labels.dim()), ((8, 16, 18), (8, 16, 6)));
    assert_eq!(validation[0].labels, all[0].1.slice(ndarray::s![.., .., 18..]));
    assert_eq!(validation[0].volume.voxels, all[0].0.slice(ndarray::s![.., .., 18..]));
    let mut one_side = all[0].clone();
    one_side.1.slice_mut(ndarray::s![.., .., 18..]).fill(0);
    let why = hold_out(&[labelled("one.tif", &one_side)], 0.25).unwrap_err().to_string();
    assert!(why.contains("one.tif") && why.contains("18..24 along x"), "{why}");
    for share in [0.0, 1.0, f64::NAN] {
        assert!(hold_out(&volumes, share).unwrap_err().to_string().contains("`hold_out`"));
    }
    assert!(hold_out(&[], 0.5).is_err());
}

#[test]
fn settings_survive_text_and_unknown_ones_are_refused() {
    for network in [
        NetworkConfig::default(),
        NetworkConfig::SwinUnetr(SwinUnetrConfig::default()),
        NetworkConfig::SegResNet(SegResNetConfig::default()),
        NetworkConfig::VNet(VNetConfig::default()),
        NetworkConfig::Trailmap(TrailmapConfig::default()),
    ] {
        let loss = SegmentationLoss::Tversky { alpha: 0.3, beta: 0.7 };
        let config = SupervisedConfig { network, loss, ..short(7) };
        let text = serde_json::to_string(&config).unwrap();
        assert_eq!(serde_json::from_str::<SupervisedConfig>(&text).unwrap(), config);
    }
    let partial = r#"{"steps": 3, "network": {"kind": "unet", "width": 32, "dropout": 0}}"#;
    let partial: SupervisedConfig = serde_json::from_str(partial).unwrap();
    assert_eq!(partial.network, NetworkConfig::UNet { width: 32, dropout: 0.0 });
    for wrong in [
        r#"{"stepz": 3}"#,
        r#"{"loss": {"kind": "tversky", "alpha": 1, "beta": 1, "gamma": 1}}"#,
        r#"{"augmentation": {"x": 1}}"#,
    ] {
        assert!(serde_json::from_str::<SupervisedConfig>(wrong).is_err(), "{wrong}");
    }
}

#[test]
fn statistics_move_once_a_step_where_a_gradient_overflows() {
    let mut a = balls(1, [16, 16, 16]);
    a.1[[0, 0, 0]] = 1;
    let network = NetworkConfig::Trailmap(TrailmapConfig { width: 4, ..TrailmapConfig::default() });
    // A loss so large that its gradients leave the range of half precision until the scale has come down.
    let loss = SegmentationLoss::DiceCe { cross_entropy: 1e4 };
    let config = SupervisedConfig { network, loss, compute: Compute::F16, patch: [16; 3], ..short(3) };
    let mut recorder = Recorder::default();
    let trained = run(&[labelled("a", &a)], &[], &config, &mut recorder).unwrap();
    assert!(recorder.steps[0].loss_scale < 65536.0, "{}", recorder.steps[0].loss_scale);
    let counts: Vec<f32> = weights(&trained)
        .into_iter()
        .filter(|(n, _)| n.ends_with("num_batches_tracked"))
        .map(|(_, a)| a.sum())
        .collect();
    assert!(!counts.is_empty() && counts.iter().all(|&n| n == 3.0), "{counts:?}");
}

#[test]
fn another_network_than_that_of_the_settings_is_refused() {
    let a = balls(1, [32, 32, 32]);
    let swin = |merging| {
        let sizes =
            SwinUnetrConfig { feature_size: 4, depths: [1; 4], heads: [1; 4], ..SwinUnetrConfig::small() };
        NetworkConfig::SwinUnetr(SwinUnetrConfig { merging, ..sizes })
    };
    let [v2, monai15] = [swin_unetr::Merging::V2, swin_unetr::Merging::Monai15].map(swin);
    let unet = |width| NetworkConfig::UNet { width, dropout: 0.1 };
    for (settings, given) in [(unet(4), unet(8)), (unet(4), v2.clone()), (v2, monai15)] {
        let config = SupervisedConfig { network: settings, patch: [32; 3], ..short(1) };
        let refused = train_supervised(given.build(0).unwrap(), &[labelled("a", &a)], &[], &config, &mut ())
            .unwrap_err();
        assert!(matches!(refused, Error::Setting { field: "network", .. }), "{refused}");
    }
}

#[test]
fn spacings_that_patches_cannot_be_bent_in_are_refused() {
    let a = balls(1, [8, 16, 16]);
    let bend = |spacing, bend| {
        let mut of = labelled("a", &a);
        of.volume.spacing = spacing;
        let augmentation = Augmentation { share: 1.0, bend, ..Augmentation::default() };
        run(&[of], &[], &SupervisedConfig { augmentation, ..short(1) }, &mut ())
    };
    for spacing in [[0.005, 0.001, 0.001], [5000.0, 1000.0, 1000.0]] {
        let why = bend(spacing, 1.0).unwrap_err().to_string();
        assert!(why.contains("augmentation.bend") && why.contains(&format!("{spacing:?}")), "{why}");
        bend(spacing, 0.0).unwrap();
    }
    for spacing in [[5.0, 1.0, 1.0], [1.0, 0.2, 0.2], [10.0, 3.0, 3.0]] {
        bend(spacing, 1.0).unwrap();
    }
}
