//! The published form: every pair of voxels is weighed by its own difference.
//!
//! Each weight is computed once, used for both voxels of its pair, and forgotten. Memory, beside the gradient, whose
//! buffer holds `sum_j w_ij p_k(j)` from the forward pass on: one volume of `sum_j w_ij`, since the gradient needs the
//! finished sums over the whole volume, and `radius + 1` planes of each quantity a thread. Without a gradient: those
//! planes alone.

mod cuda;
mod pairs;
mod window;

use super::{
    LEAST_ASSOCIATION, NAME, SoftNCuts,
    class_rows::{add_up, repeat, spread},
    geometry::{Geometry, Slab, cut},
    scratch::Scratch,
};
use crate::simd::{Isa, Lanes, Routine};
use cellseg_core::{
    DType, Kernel, Op, Real, Result, Shape, Tensor,
    cuda::{Cuda, CudaBuffer},
    run,
};
use pairs::{PairSums, Sums};
use rayon::prelude::*;
use std::sync::Arc;

/// Planes of a piece of work, where the window reaches no farther: few, so that small volumes make work for many cores.
const LEAST_SLAB: usize = 4;

/// The loss as an operation.
#[derive(Clone)]
pub(super) struct Exact(pub(super) SoftNCuts);

/// What the forward pass leaves for the backward pass.
pub(super) enum Partial {
    /// On the CPU.
    Host {
        /// `sum_j w_ij p_k(j)`: `[n, d, h, w, k]`, in the buffer that becomes the gradient.
        within: Tensor,
        /// `sum_j w_ij`: `[n, d, h, w]`.
        degree: Tensor,
        /// The gradient's coefficients of the two, `[item][class]`.
        coefficients: Vec<[f64; 2]>,
    },
    /// On a GPU.
    Device(cuda::Around),
}

impl Kernel<2> for Exact {
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
        let slabs = geometry.slabs(LEAST_SLAB.max(geometry.reach[0]));
        let pair_sums = |slab: Slab, sums: Option<Sums<'_, T>>| {
            let i = slab.item;
            Isa::best().run(PairSums {
                geometry,
                settings: self.0,
                slab,
                probabilities: &probabilities[i * geometry.volume()..][..geometry.volume()],
                image: &image[i * geometry.image_volume()..][..geometry.image_volume()],
                sums,
            })
        };
        let mut of_slabs = vec![];
        let kept = if recording {
            let [n, d, h, w, _] = shapes[0].volumes(NAME)?;
            let mut degree = Tensor::full(T::zero(), &[n, d, h, w])?;
            let mut within = Tensor::full(T::zero(), shapes[0].dims())?;
            of_slabs =
                in_two_rounds(&geometry, &slabs, within.as_mut_slice()?, degree.as_mut_slice()?, pair_sums)?;
            Some((within, degree))
        } else {
            of_slabs = slabs.into_par_iter().map(|slab| pair_sums(slab, None)).collect::<Result<_>>()?;
            None
        };

        let n = geometry.n as f64;
        let mut loss = geometry.k as f64;
        let mut coefficients = vec![];
        for sums in of_slabs.chunks(of_slabs.len() / geometry.n).map(add_up) {
            let (within, total) = sums.split_at(geometry.k);
            for (within, total) in within.iter().zip(total) {
                let total = total + LEAST_ASSOCIATION;
                loss -= within / total / n;
                coefficients.push([-2.0 / total / n, within / total / total / n]);
            }
        }
        out[0] = T::of(loss);
        Ok(kept.map(|(within, degree)| Partial::Host { within, degree, coefficients }))
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

/// Runs `work` on all slabs. A slab adds to its own planes and to the first ones of the next slab, so the even ones go
/// first, all at once, each with its successor's planes as well, and then the odd ones: no two touch the same planes, and
/// every number is added to in one order.
fn in_two_rounds<T: Real>(
    geometry: &Geometry,
    slabs: &[Slab],
    within: &mut [T],
    degree: &mut [T],
    work: impl Fn(Slab, Option<Sums<'_, T>>) -> Result<Vec<f64>> + Sync,
) -> Result<Vec<Vec<f64>>> {
    let voxels = geometry.h * geometry.w;
    let mut found = vec![vec![]; slabs.len()];
    for round in 0..2 {
        let per_item = slabs.len() / geometry.n;
        // The planes of each task, and the slab that it works on; in the odd round an item's first slab has none.
        let mut lent = vec![];
        let mut starts = vec![];
        for item in slabs.chunks(per_item) {
            if round == 1 {
                lent.push(item[0].clone());
                starts.push(None);
            }
            for pair in item[round..].chunks(2) {
                let z = pair[0].z.start..pair[pair.len() - 1].z.end;
                lent.push(Slab { item: pair[0].item, z });
                starts.push(Some(pair[0].clone()));
            }
        }
        let within = cut(&lent, voxels * geometry.k, within);
        let degree = cut(&lent, voxels, degree);
        let tasks: Vec<_> = within.into_iter().zip(degree).zip(starts).collect();
        let done = tasks
            .into_par_iter()
            .filter_map(|(((_, within), (_, degree)), slab)| slab.map(|s| (s, Sums { within, degree })))
            .map(|(slab, sums)| work(slab, Some(sums)))
            .collect::<Result<Vec<_>>>()?;
        let places = (0..slabs.len()).filter(|i| i % per_item % 2 == round);
        places.zip(done).for_each(|(i, sums)| found[i] = sums);
    }
    Ok(found)
}

impl Op<2> for Exact {
    type Saved = (Option<Partial>, DType, [Shape; 2]);

    fn save(&self, partial: Option<Partial>, inputs: [&Tensor; 2], _: &Tensor) -> Self::Saved {
        (partial, inputs[0].dtype(), inputs.map(Tensor::shape))
    }

    fn backward(
        &self,
        (partial, stored, shapes): Self::Saved,
        grad: Tensor,
        _: [bool; 2],
    ) -> Result<[Option<Tensor>; 2]> {
        let (within, degree, coefficients) = match partial {
            Some(Partial::Host { within, degree, coefficients }) => (within, degree, coefficients),
            Some(Partial::Device(around)) => {
                let kernel = cuda::GradientOnGpu { settings: self.0, shapes, around: Arc::new(around) };
                return Ok([Some(run(&kernel, [grad.into()])?.0), None]);
            }
            None => return Ok([None, None]),
        };
        // Half precision was widened for the forward pass.
        let grad = grad.cast(within.dtype())?;
        let kernel = ExactGradient { coefficients: coefficients.into() };
        let (grad, ()) = run(&kernel, [within.into(), degree.into(), grad.into()])?;
        Ok([Some(grad.cast(stored)?), None])
    }
}

/// The gradient of the probabilities from the sums around each voxel and the gradient of the loss.
#[derive(Clone)]
struct ExactGradient {
    coefficients: Arc<[[f64; 2]]>,
}

impl Kernel<3> for ExactGradient {
    const NAME: &'static str = "soft_ncuts gradient";
    const IN_PLACE: bool = true;
    type Aux = ();

    fn shape(&self, [within, ..]: [Shape; 3]) -> Result<Shape> {
        Ok(within)
    }

    fn cpu_in_place<T: Real>(
        &self,
        [within, ..]: [Shape; 3],
        [_, degree, grad]: [&[T]; 3],
        data: &mut [T],
        _: bool,
    ) -> Result<()> {
        let [_, d, h, w, k] = within.volumes(Self::NAME)?;
        let grad = grad[0].wide();
        let planes = data.par_chunks_mut(h * w * k).zip(degree.par_chunks(h * w)).enumerate();
        planes.try_for_each(|(plane, (data, degree))| {
            let of_class = &self.coefficients[plane / d * k..][..k];
            Isa::best().run(Combine { w, k, of_class, grad, data, degree })
        })
    }
}

/// `a_k data + b_k degree` over one plane, in place.
struct Combine<'a, T> {
    w: usize,
    k: usize,
    of_class: &'a [[f64; 2]],
    grad: f64,
    data: &'a mut [T],
    degree: &'a [T],
}

impl<T: Real> Routine<T> for Combine<'_, T> {
    type Output = Result<()>;

    #[inline(always)]
    fn run<L: Lanes<Elem = T>>(self) -> Result<()> {
        let row = self.w * self.k;
        let coefficient = |i: usize| repeat(self.of_class.iter().map(move |c| c[i] * self.grad), self.w);
        let (a, b): (Vec<T>, Vec<T>) = (coefficient(0), coefficient(1));
        let mut degrees = Scratch::<T>::new(row)?;
        for (data, degree) in self.data.chunks_exact_mut(row).zip(self.degree.chunks_exact(self.w)) {
            spread(&mut degrees, degree.iter(), self.k);
            for (((o, a), b), d) in data.iter_mut().zip(&a).zip(&b).zip(&*degrees) {
                *o = *a * *o + *b * *d;
            }
        }
        Ok(())
    }
}
