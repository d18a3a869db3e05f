//! Tutorial 5: how good is a segmentation?
//!
//! A synthetic volume comes with its truth. The classical recipe, one threshold for the whole volume and a label for each
//! connected piece, is scored against it, and so is the same mask with touching cells split by their shape.
//!
//!     cargo run --release --example 05_score

use cellseg::{
    Error, Evaluation,
    io::synth::{SynthOptions, generate},
    post::{
        Connectivity, InstanceOptions, Method, OtsuRule, Spacing, WatershedSeeds, components, instances,
        mask_above, otsu,
    },
};

fn main() -> Result<(), Error> {
    let options = SynthOptions { shape: [48, 96, 96], nuclei: 70, seed: 5, ..Default::default() };
    let made = generate(&options)?;
    let [z, y, x] = options.spacing_um;
    println!("{} nuclei, voxels of {z} x {y} x {x} um", made.nuclei.len());

    // One threshold for the whole volume; each connected piece of what is brighter is a "cell".
    let threshold = otsu(made.image.view(), OtsuRule::Skimage)?;
    let mask = mask_above(made.image.view(), threshold);
    let pieces = components(mask.view(), Connectivity::TwentySix)?;
    show("Otsu + components", &Evaluation::of(made.labels.view(), pieces.ids())?);

    // The same mask, with touching cells told apart.
    let soft = mask.map(|&inside| f32::from(u8::from(inside)));
    let split = InstanceOptions { method: Method::Watershed(WatershedSeeds::Shape), ..Default::default() };
    let cells = instances(soft.view(), Spacing::new(z, y, x)?, &split)?;
    show("Otsu + watershed", &Evaluation::of(made.labels.view(), cells.ids())?);

    // The truth scores 1 against itself, whatever its ids are.
    let same = made.labels.map(|&id| if id == 0 { 0 } else { 1000 - id });
    assert_eq!(Evaluation::of(made.labels.view(), same.view())?.f1, 1.0);
    Ok(())
}

fn show(name: &str, e: &Evaluation) {
    println!("\n{name}: {} cells where there are {}, Dice {:.3}", e.predicted_cells, e.true_cells, e.dice);
    println!("  IoU of a match      F1   precision  recall   panoptic quality");
    for s in e.cells.iter().filter(|s| [0.3, 0.5, 0.7].contains(&s.iou)) {
        println!(
            "  {:13.1}   {:.3}       {:.3}   {:.3}              {:.3}",
            s.iou, s.f1, s.precision, s.recall, s.panoptic_quality
        );
    }
}
