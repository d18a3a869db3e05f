//! Tutorial 4: from a volume and weights to a table of cells.
//!
//!     cargo run --release --example 04_segment_and_measure
//!     cargo run --release --example 04_segment_and_measure -- volume.tif weights.safetensors
//!
//! Without arguments a small synthetic volume is made and a network is trained on it for some seconds.

use cellseg::{
    Error, Segmenter,
    io::{Overwrite, Spacing, Volume, read_volume, synth},
    models::{infer::Blending, train::TrainConfig, wnet3d::WNet3dConfig},
    post::{Method, WatershedSeeds},
    train,
};

fn main() -> Result<(), Error> {
    let mut arguments = std::env::args().skip(1);
    let (volume, mut segmenter) = match (arguments.next(), arguments.next()) {
        (Some(volume), Some(weights)) => (read_volume(volume)?, Segmenter::open(weights)?),
        _ => on_the_spot()?,
    };

    // A volume of any size is looked at window by window; how they overlap and are blended can be chosen.
    segmenter.inference.windows.window = [32; 3];
    segmenter.inference.windows.overlap = 0.25;
    segmenter.inference.windows.blending = Blending::Gaussian { sigma: 0.25 };

    // The network gives a map of the foreground; this is how the map is divided into cells.
    segmenter.instances.method = Method::Watershed(WatershedSeeds::Shape);
    let found = segmenter.segment(&volume, &mut ())?;
    println!("{} cells", found.cells);

    // Each cell is measured, in micrometres where the spacing is known.
    let cells = found.measure(&volume)?;
    for cell in cells.iter().filter(|c| !c.touches_border).take(5) {
        let [z, y, x] = cell.centroid;
        let brightness = cell.intensity.as_ref().map_or(0.0, |i| i.mean);
        println!(
            "cell {:3} at {z:5.1}, {y:5.1}, {x:5.1} um: {:6.1} um^3, mean intensity {brightness:.0}",
            cell.id, cell.volume
        );
    }

    // The same as a table and as a picture.
    let folder = std::env::temp_dir().join("cellseg_tutorial_4");
    std::fs::create_dir_all(&folder).map_err(|e| Error::usage(e.to_string()))?;
    found.write_table(folder.join("cells.csv"), &volume, Overwrite::Replace)?;
    found.write_preview(folder.join("cells.png"), &volume, Overwrite::Replace)?;
    println!("table and picture: {}", folder.display());
    Ok(())
}

fn on_the_spot() -> Result<(Volume<f32>, Segmenter), Error> {
    let options = synth::SynthOptions { shape: [32, 64, 64], nuclei: 20, ..Default::default() };
    let made = synth::generate(&options)?;
    let volume = Volume::new(made.image, "tutorial").with_spacing(Spacing::new(options.spacing_um)?);
    let network = WNet3dConfig { width: 8, ..WNet3dConfig::small() };
    let config = TrainConfig { network, steps: 60, patch: [24; 3], ..TrainConfig::default() };
    let trained = train(std::slice::from_ref(&volume), &[], &config, &mut ())?;
    Ok((volume, Segmenter::new(trained.network, config.inference())))
}
