//! SoftNCuts: how badly soft classes cut an image that carries no labels.
//!
//! A class is good where voxels that are alike and near each other belong to it together. The loss of `K` classes is
//! ```text
//! L = K - sum_k  mean_n  assoc(A_k, A_k) / (assoc(A_k, V) + 1e-6)        in [0, K]
//! ```
//! with `assoc(A_k, A_k)` the sum of the weights of all pairs of voxels within class `k`, and `assoc(A_k, V)` that of its
//! voxels with all (Shi and Malik, PAMI 2000; Xia and Kulis, W-Net, 2017). [`Form`] says which weights.
//!
//! Both forms take time proportional to the voxels and, beyond the gradient itself, memory that is stated with each:
//! no weight is ever stored. Sums are taken over parts that depend on the shape alone and in a fixed order, in double
//! precision from the rows up, so that the number of threads changes no bit.
//!
//! On a GPU nothing of this comes back to the host: the loss and the coefficients of the gradient are numbers on the device.
//! There the approximate form keeps no volume between the passes, and the exact one its two sums of each voxel in `f32`.

mod approximate;
#[cfg(any(test, feature = "testing"))]
pub mod cases;
mod class_rows;
mod cuda;
mod exact;
mod geometry;
#[cfg(test)]
mod tests;
mod weight;

use crate::scratch;
use cellseg_core::{Error, Result, Shape, Tensor, apply};

const NAME: &str = "soft_ncuts";

/// Keeps the quotient of an empty class finite, as in CellSeg3D.
const LEAST_ASSOCIATION: f64 = 1e-6;

/// Which weights the pairs of voxels have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Form {
    /// The form that CellSeg3D trains with (Achard et al., eLife 2025, `soft_Ncuts.py`, after F. Odom): likeness in
    /// intensity is not taken between two voxels but between a voxel and the mean of the class.
    /// ```text
    /// m_k  = sum_v p_k(v) I(v) / (sum_v p_k(v) + 1e-5 * voxels)        for each image channel
    /// W_k  = exp(-|I - m_k|^4 / sigma_intensity^2)
    /// G(x) = exp(-|x|^2 / (2 sigma_space^2))                            on the cube of (2 radius + 1)^3 voxels
    /// assoc(A_k, A_k) = sum_v p_k (G * (p_k W_k)),   assoc(A_k, V) = sum_v p_k (G * W_k)
    /// ```
    /// with zeros outside the volume, and the absolute value of the quotient. The gradient goes through `p`, `m_k` and
    /// `W_k`.
    #[default]
    Approximate,
    /// The published form: each pair of voxels within the window of `(2 radius + 1)^3` voxels around either is weighed by
    /// its own difference,
    /// ```text
    /// w_ij = exp(-|I_i - I_j|^2 / sigma_intensity^2 - |X_i - X_j|^2 / sigma_space^2)
    /// assoc(A_k, A_k) = sum_ij w_ij p_k(i) p_k(j),   assoc(A_k, V) = sum_ij w_ij p_k(i)
    /// ```
    /// over ordered pairs and including each voxel with itself, at weight one.
    Exact,
}

/// The settings of [`soft_ncuts`]. The default is CellSeg3D's.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SoftNCuts {
    /// Which weights the pairs of voxels have.
    pub form: Form,
    /// The scale of differences in intensity, in units of the image (CellSeg3D's goes from 0 to 100): 1.
    pub sigma_intensity: f64,
    /// The scale of distances, in voxels: 4.
    pub sigma_space: f64,
    /// How far a voxel's window reaches along each axis, in voxels: 2.
    pub radius: usize,
}

impl Default for SoftNCuts {
    fn default() -> Self {
        SoftNCuts { form: Form::default(), sigma_intensity: 1.0, sigma_space: 4.0, radius: 2 }
    }
}

/// The SoftNCuts loss, a single number, of class probabilities `[n, d, h, w, k]` over the image `[n, d, h, w, c]`.
///
/// The gradient is that of the probabilities, which need not add up to one. The image is a constant.
///
/// ```
/// use cellseg_core::{Tape, Tensor};
/// use cellseg_kernels::soft_ncuts::{Form, SoftNCuts, soft_ncuts};
///
/// // Two bright planes beside two dark ones, cut where they meet, and cut across.
/// let image = Tensor::from_slice(&[0.0f32, 0.0, 0.0, 0.0, 90.0, 90.0, 90.0, 90.0], &[1, 4, 1, 2, 1])?;
/// let cut = |first: [f32; 8]| {
///     let both: Vec<f32> = first.iter().flat_map(|p| [*p, 1.0 - p]).collect();
///     Tensor::from_slice(&both, &[1, 4, 1, 2, 2])
/// };
/// let good = cut([0.9, 0.9, 0.9, 0.9, 0.1, 0.1, 0.1, 0.1])?.trainable();
/// let bad = cut([0.9, 0.1, 0.9, 0.1, 0.9, 0.1, 0.9, 0.1])?;
/// let settings = SoftNCuts { form: Form::Exact, ..SoftNCuts::default() };
/// let tape = Tape::new();
/// let loss = soft_ncuts(&good.on(&tape), &image, &settings)?;
/// assert!(loss.item()? < soft_ncuts(&bad, &image, &settings)?.item()?);
/// assert!(tape.backward(&loss)?.get(&good).is_some());
/// # Ok::<(), cellseg_core::Error>(())
/// ```
///
/// # Errors
/// [`Error::Argument`] where the shapes differ in more than the channels or an extent is zero, where a sigma is not a
/// positive finite number, and where the radius is zero; [`Error::DType`], [`Error::Device`] and [`Error::Memory`].
pub fn soft_ncuts(probabilities: &Tensor, image: &Tensor, settings: &SoftNCuts) -> Result<Tensor> {
    let inputs = [probabilities.into(), image.detached().into()];
    match settings.form {
        Form::Approximate => apply(approximate::Approximate(*settings), inputs),
        Form::Exact => apply(exact::Exact(*settings), inputs),
    }
}

impl SoftNCuts {
    /// Checks the settings and the shapes.
    fn shape(&self, [probabilities, image]: [Shape; 2]) -> Result<Shape> {
        let wrong = |why: String| Err(Error::argument(NAME, why));
        for (name, sigma) in [("sigma_intensity", self.sigma_intensity), ("sigma_space", self.sigma_space)] {
            if !(sigma > 0.0 && sigma.is_finite()) {
                return wrong(format!("{name} is {sigma}; it must be a positive finite number"));
            }
        }
        if self.radius == 0 {
            return wrong("the radius is 0, so no voxel has a neighbour; it must be at least 1".into());
        }
        let [n, d, h, w, _] = probabilities.volumes(NAME)?;
        let [.., c] = image.volumes(NAME)?;
        if image.dims()[..4] != [n, d, h, w] {
            return wrong(format!(
                "an image of shape {image:?} for probabilities of shape {probabilities:?}; \
                 expected [{n}, {d}, {h}, {w}, c]"
            ));
        }
        if probabilities.count() == 0 || c == 0 {
            return wrong(format!(
                "probabilities of shape {probabilities:?} and an image of shape {image:?}; \
                 no extent may be zero"
            ));
        }
        Ok(Shape::scalar())
    }
}
