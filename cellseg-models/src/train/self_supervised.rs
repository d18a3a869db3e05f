//! Training without labels: what is minimised.

use super::{
    config::{Balance, Reconstruction, TrainConfig},
    course::Course,
    objective::{Loss, Objective},
    patches::Patches,
    validation::{LabelledVolume, mean_dice},
};
use crate::{PassMode, Result, VolumeView, WNet3d, infer::Inference, intensity::FULL_SCALE};
use cellseg_core::{Rng, Tape, Tensor};
use cellseg_kernels::{loss, pointwise, reduce, soft_ncuts::soft_ncuts};

/// Classes judged by SoftNCuts, and by what can be painted from them.
pub(super) struct SelfSupervised<'v, 'l> {
    config: TrainConfig,
    patches: Patches<'v>,
    validation: Vec<LabelledVolume<'l>>,
}

impl<'v, 'l> SelfSupervised<'v, 'l> {
    pub(super) fn new(
        volumes: &[VolumeView<'v>],
        validation: &[LabelledVolume<'l>],
        config: &TrainConfig,
    ) -> Result<Self> {
        config.validate()?;
        validation.iter().try_for_each(LabelledVolume::check)?;
        Ok(SelfSupervised {
            patches: Patches::new(volumes, config)?,
            validation: validation.to_vec(),
            config: config.clone(),
        })
    }
}

impl Objective for SelfSupervised<'_, '_> {
    type Network = WNet3d;
    type Config = TrainConfig;
    /// Patches `[n, d, h, w, 1]` from 0 to 100, in host memory.
    type Batch = Tensor;
    const FORMAT: &'static str = "cellseg training checkpoint 1";

    fn config(&self) -> &TrainConfig {
        &self.config
    }

    fn course(&self) -> Course {
        self.config.course()
    }

    fn volumes(&self) -> Vec<[usize; 3]> {
        self.patches.extents()
    }

    fn validates(&self) -> bool {
        !self.validation.is_empty()
    }

    fn draw(&self, rng: &mut Rng) -> Result<Tensor> {
        self.patches.draw(&self.config, rng)
    }

    fn loss(
        &self,
        network: &mut WNet3d,
        patches: &Tensor,
        tape: &Tape,
        mode: &PassMode,
        step: u64,
    ) -> Result<Loss> {
        let config = &self.config;
        let image = patches.to(&network.device())?;
        let classes = network.classes(&image.on(tape), mode)?;
        let n_cuts = soft_ncuts(&classes, &image, &config.n_cuts.settings())?;
        let painted = network.reconstruction(&classes, mode)?;
        let (reconstruction, grey) = match config.reconstruction {
            Reconstruction::Mse => {
                let painted = pointwise::scale(painted, config.decoder_gain)?;
                (loss::mse(&painted, &image)?, variance(patches.as_slice()?))
            }
            Reconstruction::Bce => {
                let patches = from_0_to_1(patches)?;
                (
                    loss::bce_with_logits(&painted, &patches.to(&image.device())?)?,
                    entropy(patches.as_slice()?),
                )
            }
        };
        let weight = match config.balance {
            Balance::Auto { share } if grey > 0.0 => share / grey,
            // Black patches: there is nothing to explain.
            Balance::Auto { .. } => 0.0,
            Balance::Fixed { weight } => weight,
        };
        let mut total = pointwise::add(
            pointwise::scale(&n_cuts, config.n_cuts_weight)?,
            pointwise::scale(&reconstruction, weight)?,
        )?;
        let order = config.warm_up_at(step);
        if order > 0.0 {
            total = pointwise::add(total, pointwise::scale(disorder(&classes, patches)?, order)?)?;
        }
        Ok(Loss { terms: vec![("n_cuts", n_cuts), ("reconstruction", reconstruction)], total })
    }

    fn dice(&self, network: &WNet3d) -> Result<Option<f64>> {
        let settings = Inference { compute: self.config.compute, ..self.config.inference() };
        mean_dice(network, &self.validation, &settings)
    }
}

/// How far the classes are from being ordered by brightness: with classes numbered from 0 to 1, the mean squared error of
/// the expected class against the patches from 0 to 1, as a share of their variance.
fn disorder(classes: &Tensor, patches: &Tensor) -> Result<Tensor> {
    let k = classes.shape().channels();
    let numbers: Vec<f32> = (0..k).map(|i| i as f32 / (k - 1) as f32).collect();
    let numbers = Tensor::from_slice(&numbers, &[1, 1, 1, 1, k])?.to(&classes.device())?;
    let numbers = pointwise::broadcast_to(&numbers, classes.shape().dims())?;
    let expected = reduce::sum_axes(&pointwise::mul(classes, numbers)?, &[4], true)?;
    let patches = from_0_to_1(patches)?;
    let error = loss::mse(&expected, &patches.to(&classes.device())?)?;
    let grey = variance(patches.as_slice()?);
    Ok(pointwise::scale(error, if grey > 0.0 { 1.0 / grey } else { 0.0 })?)
}

fn from_0_to_1(patches: &Tensor) -> Result<Tensor> {
    Ok(pointwise::scale(patches, 1.0 / f64::from(FULL_SCALE))?)
}

fn mean(xs: &[f32]) -> f64 {
    xs.iter().map(|&x| f64::from(x)).sum::<f64>() / xs.len() as f64
}

/// The mean squared error of the best grey.
fn variance(xs: &[f32]) -> f64 {
    let mean = mean(xs);
    xs.iter().map(|&x| (f64::from(x) - mean).powi(2)).sum::<f64>() / xs.len() as f64
}

/// The cross entropy of the best grey.
fn entropy(xs: &[f32]) -> f64 {
    let m = mean(xs);
    let part = |p: f64| if p > 0.0 { -p * p.ln() } else { 0.0 };
    part(m) + part(1.0 - m)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_best_grey_costs_the_variance_or_the_entropy() {
        assert_eq!(variance(&[0.0, 10.0]), 25.0);
        assert!((entropy(&[0.0, 1.0]) - std::f64::consts::LN_2).abs() < 1e-12);
        assert_eq!((variance(&[3.0; 4]), entropy(&[0.0; 4])), (0.0, 0.0));
    }

    #[test]
    fn classes_in_the_order_of_brightness_have_no_disorder_and_the_reverse_has_most() {
        let image = Tensor::from_slice(&[0.0f32, 0.0, 50.0, 100.0], &[1, 1, 1, 4, 1]).unwrap();
        let of = |sure: [usize; 4]| {
            let p: Vec<f32> =
                sure.iter().flat_map(|&k| (0..3).map(move |i| f32::from(u8::from(i == k)))).collect();
            disorder(&Tensor::from_slice(&p, &[1, 1, 1, 4, 3]).unwrap(), &image).unwrap().item().unwrap()
        };
        assert_eq!(of([0, 0, 1, 2]), 0.0);
        // Errors 1, 1, 0 and -1 against a variance of 0.171875.
        assert!((of([2, 2, 1, 0]) - 0.75 / 0.171875).abs() < 1e-5);
    }
}
