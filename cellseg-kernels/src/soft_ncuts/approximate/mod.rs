//! CellSeg3D's form: a voxel is weighed by its distance from the mean of the class.
//!
//! Three passes forward and backward together: sums for the means; one smoothing of the probabilities for the
//! associations; one smoothing of a product for the gradient. Memory, beside the gradient, whose buffer holds `q W` from
//! the forward pass on: `2 radius + 2` planes a thread.

mod associations;
mod cuda;
mod gaussian;
mod gradient;
mod weights;

use super::{
    LEAST_ASSOCIATION, NAME, SoftNCuts,
    class_rows::{add_up, repeat},
    geometry::{Geometry, Slab, cut},
};
use crate::simd::Isa;
use associations::{Associations, MeanSums};
use cellseg_core::{
    Kernel, Op, Real, Result, Shape, Tensor,
    cuda::{Cuda, CudaBuffer},
    run,
};
use gaussian::Gaussian;
use gradient::SlabGradient;
use rayon::prelude::*;
use std::sync::Arc;
use weights::Centres;

/// Planes of a piece of work in the forward passes, which read around them but compute nothing twice.
const FORWARD_SLAB: usize = 4;
/// Planes of a piece of work in the backward pass, which computes the weights of `2 radius` more planes.
const BACKWARD_SLAB: usize = 16;
/// Keeps the mean of an empty class finite, as in CellSeg3D.
const LEAST_PROBABILITY: f64 = 1e-5;

/// The loss as an operation.
#[derive(Clone)]
pub(super) struct Approximate(pub(super) SoftNCuts);

/// What the forward pass leaves for the backward pass.
pub(super) enum Partial {
    /// On the CPU.
    Host {
        /// `(G * p) W`, in the buffer that becomes the gradient.
        weighted: Tensor,
        items: Vec<ItemGradient>,
    },
    /// On a GPU.
    Device(cuda::Moments),
}

/// The coefficients of one item's gradient, for a gradient of the loss of one. Each `[class]`, means and slopes
/// `[channel][class]`.
pub(super) struct ItemGradient {
    means: Vec<f64>,
    within: Vec<f64>,
    total: Vec<f64>,
    slopes: Vec<f64>,
}

impl Kernel<2> for Approximate {
    const NAME: &'static str = NAME;
    type Aux = Option<Partial>;

    fn shape(&self, inputs: [Shape; 2]) -> Result<Shape> {
        self.0.shape(inputs)
    }

    fn cpu<T: Real>(
        &self,
        shapes: [Shape; 2],
        [probabilities, image]: [&[T]; 2],
        out: &mut [T],
        recording: bool,
    ) -> Result<Self::Aux> {
        let geometry = Geometry::new(&self.0, shapes)?;
        let isa = Isa::best();
        let slabs = geometry.slabs(FORWARD_SLAB);
        let of_item = |slab: &Slab| {
            let i = slab.item;
            let p = &probabilities[i * geometry.volume()..][..geometry.volume()];
            (p, &image[i * geometry.image_volume()..][..geometry.image_volume()])
        };
        let sums = slabs
            .par_iter()
            .map(|slab| {
                let (probabilities, image) = of_item(slab);
                isa.run(MeanSums { geometry, slab: slab.clone(), probabilities, image })
            })
            .collect::<Result<Vec<_>>>()?;
        let mut items: Vec<_> = of_items(&sums, &geometry).map(|sums| means(&sums, &geometry)).collect();

        let gaussian = Gaussian::new(&geometry, self.0.sigma_space);
        let centres = items
            .iter()
            .map(|item: &ItemMeans| Centres::new(&item.means, &geometry, self.0.sigma_intensity))
            .collect::<Vec<_>>();
        let associate = |slab: Slab, weighted: Option<&mut [T]>| {
            let (probabilities, image) = of_item(&slab);
            let centres = &centres[slab.item];
            let gaussian = &gaussian;
            isa.run(Associations { geometry, slab, probabilities, image, gaussian, centres, weighted })
        };
        let mut sums = vec![];
        let weighted = if recording {
            Some(Tensor::build(shapes[0].dims(), |weighted: &mut [T]| {
                let pieces = cut(&slabs, geometry.plane(), weighted);
                sums = pieces
                    .into_par_iter()
                    .map(|(slab, weighted)| associate(slab, Some(weighted)))
                    .collect::<Result<_>>()?;
                Ok(())
            })?)
        } else {
            sums = slabs.into_par_iter().map(|slab| associate(slab, None)).collect::<Result<_>>()?;
            None
        };

        let mut loss = geometry.k as f64;
        let mut gradients = vec![];
        for (means, sums) in items.drain(..).zip(of_items(&sums, &geometry)) {
            loss -= quotients(&sums, &geometry).map(f64::abs).sum::<f64>() / geometry.n as f64;
            if recording {
                gradients.push(self.gradient(means, &sums, &geometry));
            }
        }
        out[0] = T::of(loss);
        Ok(weighted.map(|weighted| Partial::Host { weighted, items: gradients }))
    }

    fn cuda(
        &self,
        device: &Arc<Cuda>,
        shapes: [Shape; 2],
        inputs: [&CudaBuffer; 2],
        out: &mut CudaBuffer,
        recording: bool,
    ) -> Result<Self::Aux> {
        Ok(self.on_gpu(device, shapes, inputs, out, recording)?.map(Partial::Device))
    }
}

/// The means of one item's classes.
struct ItemMeans {
    /// `[channel][class]`.
    means: Vec<f64>,
    /// What the means were divided by: `[class]`.
    mass: Vec<f64>,
}

/// The sums of each item from those of all slabs.
fn of_items<'a>(sums: &'a [Vec<f64>], geometry: &Geometry) -> impl Iterator<Item = Vec<f64>> + 'a {
    sums.chunks(sums.len() / geometry.n).map(add_up)
}

fn means(sums: &[f64], geometry: &Geometry) -> ItemMeans {
    let voxels = geometry.d * geometry.h * geometry.w;
    let (mass, weighted) = sums.split_at(geometry.k);
    let mass: Vec<_> = mass.iter().map(|m| m + LEAST_PROBABILITY * voxels as f64).collect();
    let means = weighted.iter().zip(mass.iter().cycle()).map(|(s, m)| s / m).collect();
    ItemMeans { means, mass }
}

/// `assoc(A_k, A_k) / (assoc(A_k, V) + 1e-6)` of each class.
fn quotients<'a>(sums: &'a [f64], geometry: &Geometry) -> impl Iterator<Item = f64> + 'a {
    let (within, rest) = sums.split_at(geometry.k);
    within.iter().zip(rest).map(|(n, d)| n / (d + LEAST_ASSOCIATION))
}

impl Approximate {
    fn gradient(&self, item: ItemMeans, sums: &[f64], geometry: &Geometry) -> ItemGradient {
        let Geometry { n, k, c, .. } = *geometry;
        // d W / d m_c = W * 4 |I - m|^2 (I_c - m_c) / sigma^2, and d m_c / d p = (I_c - m_c) / mass.
        let steepness = 4.0 / self.0.sigma_intensity.powi(2);
        let mut gradient = ItemGradient {
            means: item.means,
            within: vec![0.0; k],
            total: vec![0.0; k],
            slopes: vec![0.0; c * k],
        };
        for (j, q) in quotients(sums, geometry).enumerate() {
            // The derivative of -|quotient|, which PyTorch takes as zero at zero.
            let sign = if q == 0.0 { 0.0 } else { -q.signum() };
            let within = sign / n as f64 / (sums[k + j] + LEAST_ASSOCIATION);
            let total = within * q;
            gradient.within[j] = within;
            gradient.total[j] = total;
            for (channel, pair) in sums[2 * k..].chunks_exact(2 * k).enumerate() {
                let slope = (within * pair[j] - total * pair[k + j]) * steepness;
                gradient.slopes[channel * k + j] = slope / item.mass[j];
            }
        }
        gradient
    }
}

/// What the gradient needs.
pub(super) struct Saved {
    partial: Option<Partial>,
    probabilities: Tensor,
    image: Tensor,
}

impl Op<2> for Approximate {
    type Saved = Saved;

    fn save(&self, partial: Option<Partial>, [probabilities, image]: [&Tensor; 2], _: &Tensor) -> Saved {
        Saved { partial, probabilities: probabilities.detached(), image: image.detached() }
    }

    fn backward(&self, saved: Saved, grad: Tensor, _: [bool; 2]) -> Result<[Option<Tensor>; 2]> {
        let (weighted, items) = match saved.partial {
            Some(Partial::Host { weighted, items }) => (weighted, items),
            Some(Partial::Device(moments)) => {
                let kernel = cuda::GradientOnGpu { settings: self.0, moments: Arc::new(moments) };
                let inputs = [saved.probabilities.into(), saved.image.into(), grad.into()];
                return Ok([Some(run(&kernel, inputs)?.0), None]);
            }
            None => return Ok([None, None]),
        };
        // Half precision was widened for the forward pass.
        let (stored, computed) = (saved.probabilities.dtype(), weighted.dtype());
        let inputs = [
            weighted.into(),
            saved.probabilities.cast(computed)?.into(),
            saved.image.cast(computed)?.into(),
            grad.cast(computed)?.into(),
        ];
        let kernel = ApproximateGradient { settings: self.0, items: items.into() };
        Ok([Some(run(&kernel, inputs)?.0.cast(stored)?), None])
    }
}

/// The gradient of the probabilities from `q W`, the probabilities, the image and the gradient of the loss.
#[derive(Clone)]
struct ApproximateGradient {
    settings: SoftNCuts,
    items: Arc<[ItemGradient]>,
}

impl Kernel<4> for ApproximateGradient {
    const NAME: &'static str = "soft_ncuts gradient";
    const IN_PLACE: bool = true;
    type Aux = ();

    fn shape(&self, [weighted, ..]: [Shape; 4]) -> Result<Shape> {
        Ok(weighted)
    }

    fn cpu_in_place<T: Real>(
        &self,
        [_, probabilities, image, _]: [Shape; 4],
        [_, p, x, grad]: [&[T]; 4],
        data: &mut [T],
        _: bool,
    ) -> Result<()> {
        let geometry = Geometry::new(&self.settings, [probabilities, image])?;
        let grad = grad[0].wide();
        let gaussian = Gaussian::new(&geometry, self.settings.sigma_space);
        let prepare = |item: &ItemGradient| {
            let rows = [&item.within, &item.total, &item.slopes]
                .into_iter()
                .flat_map(|v| v.chunks_exact(geometry.k));
            let coefficients =
                rows.map(|row| repeat(row.iter().map(|x| x * grad), geometry.w)).collect::<Vec<_>>();
            (Centres::new(&item.means, &geometry, self.settings.sigma_intensity), coefficients)
        };
        let items: Vec<_> = self.items.iter().map(prepare).collect();
        cut(&geometry.slabs(BACKWARD_SLAB), geometry.plane(), data).into_par_iter().try_for_each(
            |(slab, data)| {
                let (centres, coefficients) = &items[slab.item];
                Isa::best().run(SlabGradient {
                    geometry,
                    probabilities: &p[slab.item * geometry.volume()..][..geometry.volume()],
                    image: &x[slab.item * geometry.image_volume()..][..geometry.image_volume()],
                    slab,
                    gaussian: &gaussian,
                    centres,
                    coefficients,
                    data,
                })
            },
        )
    }
}
