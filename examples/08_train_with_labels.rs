//! Tutorial 8: training with labels, where some volumes have them.
//!
//! A small labelled set teaches a network what no volume without labels can say: what counts as a cell. Patches of the
//! volumes are drawn so that they meet cells often enough, and are flipped, turned, bent and made noisier at random, image and
//! labels together, so that few labels go a long way.
//!
//!     cargo run --release --example 08_train_with_labels

use cellseg::{
    Error, Evaluation, Labelled, Segmenter,
    io::{Overwrite, Spacing, Volume, synth},
    models::{
        losses::SegmentationLoss,
        train::{NetworkConfig, Observer, SupervisedConfig, ValidationReport},
    },
    train_supervised, write_supervised,
};

fn main() -> Result<(), Error> {
    // Two labelled volumes to learn from, and one that training never sees. Labels may be of instances, as here, or only say
    // where foreground is: 0 is background, and every other number foreground.
    let labelled = [nuclei(1)?, nuclei(2)?];
    let (unseen, truth) = nuclei(3)?;

    // All settings have defaults, and are the same that `cellseg train --labels .. --config run.toml` reads in its section
    // [supervised]. A narrow network and few steps keep this tutorial short.
    let config = SupervisedConfig {
        network: NetworkConfig::UNet { width: 8, dropout: 0.0 },
        steps: 120,
        patch: [24; 3],
        learning_rate: 3e-3,
        // How the output is judged against labels: the overlap of foregrounds, and each voxel.
        loss: SegmentationLoss::DiceCe { cross_entropy: 1.0 },
        // Of two volumes one is kept back. It tells which step was best, and when to stop.
        hold_out: 0.5,
        validate_every: 20,
        patience: 5,
        ..SupervisedConfig::default()
    };

    // Any network can be trained. A WNet3D that was trained without labels, in tutorial 3, would be a better start than random
    // weights: `cellseg train --labels .. --from weights.safetensors`.
    let network = config.network.build(config.seed)?;
    let trained = train_supervised(network, &labelled, &[], &config, &mut Report)?;
    let (best, step) = trained.best_dice.unwrap_or_default();
    println!(
        "the best of {} steps is {step}, with Dice {best:.3} on the volume that was kept back",
        trained.steps
    );

    // Weights say which network they are of and how it is to be used: `cellseg segment --weights` takes them as they are.
    let weights = std::env::temp_dir().join("cellseg_tutorial_8.safetensors");
    write_supervised(&weights, &*trained.network, &config, Overwrite::Replace)?;
    let found = Segmenter::open(&weights)?.segment(&unseen, &mut ())?;
    let scores = Evaluation::of(truth.data.view(), found.labels.data.view())?;
    println!(
        "in a volume that training never saw {} of {} nuclei: Dice {:.3}, F1 at IoU 0.5 {:.3}",
        found.cells, scores.true_cells, scores.dice, scores.f1
    );
    assert!(scores.dice > 0.8 && scores.f1 > 0.8, "the tutorial's training went wrong");
    Ok(())
}

/// A synthetic volume with its true labels; another one for each seed.
fn nuclei(seed: u64) -> Result<Labelled, Error> {
    let options = synth::SynthOptions { seed, shape: [32, 64, 64], nuclei: 20, ..Default::default() };
    let made = synth::generate(&options)?;
    let spacing = Spacing::new(options.spacing_um)?;
    let image = Volume::new(made.image, format!("nuclei {seed}")).with_spacing(spacing);
    Ok((image, Volume::new(made.labels, "their labels").with_spacing(spacing)))
}

/// Prints how training goes.
struct Report;

impl Observer for Report {
    fn validation(&mut self, r: &ValidationReport) {
        let dice = r.dice.unwrap_or(f64::NAN);
        println!("step {:3}: mean loss {:.3}, Dice {dice:.3}", r.step, r.mean_loss);
    }
}
