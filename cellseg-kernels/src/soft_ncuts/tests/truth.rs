//! Against values from elsewhere.

use super::{
    super::{Form, SoftNCuts, cases::CASES, soft_ncuts},
    FORMS, loss_and_gradient, random, reference,
};
use cellseg_core::{
    DType, Result, Tensor,
    testing::{check_gradients, relative_l2, wide},
};
use ndarray_npy::read_npy;

/// The volume of CellSeg3D's golden values: image and probabilities of two classes, 8^3 voxels.
fn golden_volume() -> Result<[Tensor; 2]> {
    let p: Vec<f32> = (0..512)
        .flat_map(|i| {
            let p = (((17 * i) % 10) as f32 + 0.5) / 10.0;
            [p, 1.0 - p]
        })
        .collect();
    let image: Vec<f32> = (0..512).map(|i| ((37 * i) % 101) as f32).collect();
    Ok([Tensor::from_slice(&p, &[1, 8, 8, 8, 2])?, Tensor::from_slice(&image, &[1, 8, 8, 8, 1])?])
}

#[test]
fn the_approximate_form_gives_the_values_of_cellseg3d() -> Result<()> {
    let [p, image] = golden_volume()?;
    for (sigma_intensity, sigma_space, radius, expected) in [
        (1.0, 4.0, 2, 0.94639504),
        (4.0, 4.0, 2, 0.95542729),
        (1.0, 4.0, 5, 0.95030355),
        (100.0, 4.0, 2, 0.98917305),
    ] {
        let settings = SoftNCuts { form: Form::Approximate, sigma_intensity, sigma_space, radius };
        for dtype in [DType::F32, DType::F64] {
            let loss = soft_ncuts(&p.cast(dtype)?, &image.cast(dtype)?, &settings)?.item()?;
            assert!((loss - expected).abs() < 5e-7, "{settings:?} {dtype:?}: {loss}");
        }
    }
    // These were computed in single precision, which leaves five digits of a gradient.
    for dtype in [DType::F32, DType::F64] {
        let (_, gradient) = loss_and_gradient(&p.cast(dtype)?, &image.cast(dtype)?, &SoftNCuts::default())?;
        let g = wide(&gradient);
        let sum: f64 = g.iter().sum();
        assert!((sum + 1.87791026).abs() < 5e-6, "{dtype:?}: {sum}");
        assert!((g[0] + 0.00933966).abs() < 1e-7, "{dtype:?}: {}", g[0]);
        let there = ((3 * 8 + 4) * 8 + 5) * 2 + 1;
        assert!((g[there] + 0.00462135).abs() < 1e-7, "{dtype:?}: {}", g[there]);
    }
    Ok(())
}

/// The inputs of the fixtures: `make_soft_ncuts.py` makes the same.
fn ramp(dims: &[usize], step: usize, scale: f64) -> Result<Tensor> {
    let count = dims.iter().product();
    let xs: Vec<f64> =
        (0..count).map(|i: usize| scale * (((i * i * 7 + i * step) % 997) as f64 + 0.5) / 997.0).collect();
    Tensor::from_slice(&xs, dims)
}

#[test]
fn both_forms_give_losses_and_gradients_of_pytorch() -> Result<()> {
    let shapes = [([2, 5, 6, 7], [2, 1]), ([1, 4, 9, 5], [3, 2]), ([2, 1, 8, 3], [4, 1])];
    let settings =
        |form, sigma_intensity, sigma_space, radius| SoftNCuts { form, sigma_intensity, sigma_space, radius };
    let (a, e) = (Form::Approximate, Form::Exact);
    for (name, ([n, d, h, w], [k, c]), settings) in [
        ("approximate_default", shapes[0], SoftNCuts::default()),
        ("approximate_wide", shapes[1], settings(a, 30.0, 1.5, 3)),
        ("approximate_flat", shapes[2], settings(a, 7.0, 4.0, 5)),
        ("exact_default", shapes[0], settings(e, 20.0, 4.0, 2)),
        ("exact_wide", shapes[1], settings(e, 30.0, 1.5, 3)),
        ("exact_flat", shapes[2], settings(e, 7.0, 4.0, 5)),
    ] {
        let path = format!("{}/tests/fixtures/soft_ncuts/{name}.npy", env!("CARGO_MANIFEST_DIR"));
        let expected = read_npy::<_, ndarray::Array1<f64>>(path).expect("the fixture can be read").to_vec();
        let (p, image) = (ramp(&[n, d, h, w, k], 113, 1.0)?, ramp(&[n, d, h, w, c], 59, 100.0)?);
        for (dtype, tolerance) in [(DType::F64, 1e-12), (DType::F32, 1e-5)] {
            let (loss, gradient) = loss_and_gradient(&p.cast(dtype)?, &image.cast(dtype)?, &settings)?;
            assert!((loss - expected[0]).abs() < tolerance, "{name} {dtype:?}: {loss} for {}", expected[0]);
            let error = relative_l2(&wide(&gradient), &expected[1..]);
            assert!(error < tolerance, "{name} {dtype:?}: the gradient differs by {error}");
        }
    }
    Ok(())
}

#[test]
fn both_forms_give_the_sums_over_all_pairs() -> Result<()> {
    for case in CASES {
        let [p, image] = random(case, 3);
        for form in FORMS {
            let settings = case.with(form);
            let expected = reference::loss(case, &settings, &wide(&p), &wide(&image));
            let loss = soft_ncuts(&p, &image, &settings)?.item()?;
            assert!((loss - expected).abs() < 1e-12, "{case:?} {form:?}: {loss} for {expected}");
        }
    }
    Ok(())
}

#[test]
fn gradients_are_those_of_differences() {
    for case in CASES {
        let [p, image] = random(case, 5);
        for form in FORMS {
            check_gradients(std::slice::from_ref(&p), 1e-6, |v| soft_ncuts(&v[0], &image, &case.with(form)));
        }
    }
}
