//! Synthetic fluorescence volumes with ground truth.
//!
//! [`generate`] makes what a light-sheet microscope records of stained nuclei: ellipsoids of random size,
//! orientation and brightness that touch and clump, grainy like chromatin, blurred by the optics, on an uneven
//! background, dimmer with depth, counted by a camera with shot and read noise, in voxels that are not cubes. With
//! the image come the labels and the exact ellipsoids.
//!
//! ```
//! use cellseg_io::synth::{SynthOptions, generate};
//!
//! let options = SynthOptions { shape: [24, 48, 48], nuclei: 12, seed: 1, ..Default::default() };
//! let synth = generate(&options)?;
//! assert_eq!(synth.image.dim(), (24, 48, 48));
//! assert_eq!(synth.labels.iter().max(), Some(&12));
//! assert_eq!(synth.nuclei.len(), 12);
//! # Ok::<(), cellseg_io::Error>(())
//! ```
//!
//! # What is promised
//! The same options give the same bits, whatever the number of threads: every random number belongs to a seed, a
//! stage and a slice (see the `random` module), and every sum has a fixed order. They also give the same
//! bits on every platform with IEEE 754 arithmetic: no function of the platform's mathematical library is called.
//! A new version of this crate may change the volumes only with a note in the changelog; a test pins a checksum.
//!
//! # What is simplified
//! Nuclei are ellipsoids, the point spread function is a Gaussian and the same everywhere, and light lost with
//! depth is lost to nuclei and background alike. Nothing outside the volume shines into it.

mod ellipsoid;
mod lattice;
mod light;
mod options;
mod placement;
mod psf;
mod random;
mod rasterize;
#[cfg(test)]
mod tests;

pub use ellipsoid::Nucleus;
pub use options::SynthOptions;

use ndarray::Array3;

use crate::{Error, Result};

/// A synthetic volume and the truth about it.
#[derive(Clone, Debug)]
pub struct Synth {
    /// Camera counts `(z, y, x)`: whole numbers from 0 to 65535, so a `u16` file holds them exactly.
    pub image: Array3<f32>,
    /// Labels `(z, y, x)`: 0 is background, nuclei are numbered from 1 in the raster order of their first voxels, and
    /// each is one piece (6-connected).
    pub labels: Array3<u32>,
    /// Distance of neighbouring voxels `(z, y, x)` in um.
    pub spacing_um: [f64; 3],
    /// The nuclei, in the order of their labels: `nuclei[i]` has the label `i + 1`.
    pub nuclei: Vec<Nucleus>,
}

/// Makes a volume.
///
/// Runs on rayon's current thread pool, and takes little memory besides the image and the labels.
///
/// # Errors
/// [`Error::Argument`] for options out of range (see [`SynthOptions::validate`]), for more nuclei than find room at
/// random, and for a volume that does not fit into memory.
pub fn generate(options: &SynthOptions) -> Result<Synth> {
    options.validate()?;
    // Memory first: what follows allocates less, but could not report that there is none.
    let mut labels = zeros(options)?;
    let mut image = zeros(options)?;
    let mut nuclei = placement::place(options)?;
    if !nuclei.is_empty() {
        rasterize::rasterize(&mut labels, &mut nuclei, options.spacing_um);
        light::paint(&mut image, &labels, &nuclei, options);
    }
    psf::blur(&mut image, std::array::from_fn(|i| options.psf_sigma_um[i] / options.spacing_um[i]));
    light::expose(&mut image, options);
    Ok(Synth { image, labels, spacing_um: options.spacing_um, nuclei })
}

/// A volume of zeros, or an error where there is no memory for it.
fn zeros<T: Clone + Default>(options: &SynthOptions) -> Result<Array3<T>> {
    let voxels = options.voxels();
    let mut values = Vec::new();
    values.try_reserve_exact(voxels).map_err(|_| {
        let bytes = voxels.saturating_mul(size_of::<T>());
        let shape = options.shape;
        Error::Argument(format!(
            "{shape:?} voxels need {bytes} bytes of memory, which cannot be had; make less"
        ))
    })?;
    values.resize(voxels, T::default());
    Ok(Array3::from_shape_vec(options.shape, values).expect("as many values as the shape has voxels"))
}
