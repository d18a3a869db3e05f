//! What holds for every input.

use super::{
    super::{Form, SoftNCuts, cases::Case, soft_ncuts},
    FORMS, loss_and_gradient, random,
};
use cellseg_core::{
    Result, Tensor,
    testing::{relative_l2, wide},
};
use proptest::prelude::*;

fn any_case() -> impl Strategy<Value = Case> {
    let sizes = (1usize..3, 1usize..6, 1usize..7, 1usize..20);
    (sizes, 1usize..6, 1usize..3, 0.0..3.0, 0.5..6.0, 0.2..5.0, 1usize..5).prop_map(
        |((batch, d, h, w), classes, channels, contrast, sigma_space, sigma_intensity, radius)| Case {
            batch,
            size: [d, h, w],
            classes,
            channels,
            contrast,
            settings: SoftNCuts { form: Form::Approximate, sigma_intensity, sigma_space, radius },
        },
    )
}

/// The same numbers with the axes of the volumes, `(z, y, x)`, in another order, and with the last axis' in another.
fn reordered(t: &Tensor, axes: [usize; 3], last: &[usize]) -> Result<Tensor> {
    let a = t.to_ndarray::<f64>()?;
    let a = a.permuted_axes(&[0, 1 + axes[0], 1 + axes[1], 1 + axes[2], 4][..]);
    Tensor::from_ndarray(a.select(ndarray::Axis(4), last).view())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn the_loss_lies_between_zero_and_the_number_of_classes(case in any_case(), seed in 0u64..1000) {
        let [p, image] = random(&case, seed);
        for form in FORMS {
            let loss = soft_ncuts(&p, &image, &case.with(form)).unwrap().item().unwrap();
            prop_assert!((0.0..=case.classes as f64).contains(&loss), "{form:?}: {loss}");
        }
    }

    #[test]
    fn the_order_of_classes_channels_and_axes_does_not_matter(case in any_case(), seed in 0u64..1000) {
        let [p, image] = random(&case, seed);
        let backwards = |n: usize| (0..n).rev().collect::<Vec<_>>();
        for form in FORMS {
            let settings = case.with(form);
            let (loss, gradient) = loss_and_gradient(&p, &image, &settings).unwrap();
            for axes in [[0, 1, 2], [2, 0, 1], [1, 0, 2]] {
                let turn = |t: &Tensor, n| reordered(t, axes, &backwards(n)).unwrap();
                let (other, turned) =
                    loss_and_gradient(&turn(&p, case.classes), &turn(&image, case.channels), &settings).unwrap();
                prop_assert!((loss - other).abs() < 1e-11, "{form:?}: {loss} and {other}");
                let error = relative_l2(&wide(&turned), &wide(&turn(&gradient, case.classes)));
                prop_assert!(error < 1e-9, "{form:?}: gradients differ by {error}");
            }
        }
    }

    #[test]
    fn the_brightness_of_the_whole_image_does_not_matter_to_the_exact_form(
        case in any_case(), seed in 0u64..1000, shift in -100.0..100.0,
    ) {
        let [p, image] = random(&case, seed);
        let brighter: Vec<f64> = wide(&image).iter().map(|x| x + shift).collect();
        let brighter = Tensor::from_slice(&brighter, &case.image()).unwrap();
        let loss = |image| soft_ncuts(&p, image, &case.with(Form::Exact)).unwrap().item().unwrap();
        prop_assert!((loss(&image) - loss(&brighter)).abs() < 1e-9);
    }

    #[test]
    fn a_batch_is_the_mean_of_its_items(case in any_case(), seed in 0u64..1000) {
        let batch = Case { batch: 2, ..case };
        let one = Case { batch: 1, ..case };
        let [p, image] = random(&batch, seed);
        let item = |t: &Tensor, i: usize, dims: &[usize]| {
            let all = wide(t);
            let count = all.len() / 2;
            Tensor::from_slice(&all[i * count..][..count], dims).unwrap()
        };
        for form in FORMS {
            let settings = case.with(form);
            let (loss, gradient) = loss_and_gradient(&p, &image, &settings).unwrap();
            let parts: Vec<_> = (0..2)
                .map(|i| {
                    let [p, image] = [item(&p, i, &one.probabilities()), item(&image, i, &one.image())];
                    loss_and_gradient(&p, &image, &settings).unwrap()
                })
                .collect();
            prop_assert!((loss - (parts[0].0 + parts[1].0) / 2.0).abs() < 1e-12);
            let joined: Vec<f64> = parts.iter().flat_map(|(_, g)| wide(g)).map(|g| g / 2.0).collect();
            prop_assert!(relative_l2(&wide(&gradient), &joined) < 1e-11);
        }
    }

    #[test]
    fn one_class_everywhere_cuts_nothing(case in any_case(), seed in 0u64..1000) {
        let [_, image] = random(&case, seed);
        let p: Vec<f64> =
            (0..case.probabilities().iter().product()).map(|i| f64::from(i % case.classes == 0)).collect();
        let p = Tensor::from_slice(&p, &case.probabilities()).unwrap();
        // The full class is all of its own association, and each empty one has none.
        let expected = case.classes as f64 - 1.0;
        let loss = soft_ncuts(&p, &image, &case.with(Form::Exact)).unwrap().item().unwrap();
        prop_assert!((loss - expected).abs() < 1e-5, "{loss}");
        prop_assert!(loss_and_gradient(&p, &image, &case.with(Form::Exact)).is_ok_and(|(_, g)| wide(&g).iter().all(|x| x.is_finite())));
    }
}

/// Two classes of one half each, in a constant image: every weight is one but for the distance, so each class keeps
/// half of its association.
#[test]
fn halves_of_a_constant_image_are_cut_in_half() -> Result<()> {
    for (form, value) in FORMS.iter().flat_map(|f| [0.0, 50.0, -7.0].map(|v| (*f, v))) {
        let p = Tensor::full(0.5f32, &[1, 5, 6, 7, 2])?;
        let image = Tensor::full(value as f32, &[1, 5, 6, 7, 1])?;
        let settings = SoftNCuts { form, sigma_intensity: 30.0, ..SoftNCuts::default() };
        let (loss, gradient) = loss_and_gradient(&p, &image, &settings)?;
        assert!((loss - 1.0).abs() < 1e-6, "{form:?} {value}: {loss}");
        assert!(wide(&gradient).iter().all(|g| g.is_finite()));
    }
    Ok(())
}

/// Descending the gradient must find the cut between two plates of different brightness.
#[test]
fn descending_the_gradient_separates_two_plates() -> Result<()> {
    let dims = [1, 8, 6, 6, 2];
    let image: Vec<f64> = (0..8 * 36).map(|i| if i < 4 * 36 { 0.0 } else { 10.0 }).collect();
    let image = Tensor::from_slice(&image, &[1, 8, 6, 6, 1])?;
    // The fourth power of the approximate form asks for a wider scale.
    for (form, sigma_intensity) in [(Form::Approximate, 60.0), (Form::Exact, 4.0)] {
        let settings = SoftNCuts { form, sigma_intensity, ..SoftNCuts::default() };
        let mut logits: Vec<f64> = (0..8 * 36).map(|i| if i < 4 * 36 { 0.05 } else { -0.05 }).collect();
        let mut losses = vec![];
        for _ in 0..60 {
            let p: Vec<f64> = logits
                .iter()
                .flat_map(|x| {
                    let p = 1.0 / (1.0 + (-x).exp());
                    [p, 1.0 - p]
                })
                .collect();
            let (loss, gradient) = loss_and_gradient(&Tensor::from_slice(&p, &dims)?, &image, &settings)?;
            losses.push(loss);
            for ((x, p), g) in logits.iter_mut().zip(p.chunks(2)).zip(wide(&gradient).chunks(2)) {
                *x -= 100.0 * p[0] * p[1] * (g[0] - g[1]);
            }
        }
        assert!(losses[59] < 0.1 && losses[0] > 0.9, "{form:?}: from {} to {}", losses[0], losses[59]);
    }
    Ok(())
}
