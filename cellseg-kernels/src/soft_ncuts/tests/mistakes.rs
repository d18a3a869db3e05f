//! Mistakes are errors that say what was given and what to do.

use super::{
    super::{SoftNCuts, soft_ncuts},
    FORMS, loss_and_gradient,
};
use cellseg_core::{Result, Tape, Tensor};

fn told(p: &[usize], image: &[usize], change: impl Fn(&mut SoftNCuts)) -> String {
    let mut settings = SoftNCuts::default();
    change(&mut settings);
    let tensor = |dims: &[usize]| Tensor::full(0.5f32, dims).unwrap();
    soft_ncuts(&tensor(p), &tensor(image), &settings).unwrap_err().to_string()
}

#[test]
fn settings_out_of_range_are_named() {
    let shape = [1, 2, 2, 2, 1];
    for bad in [0.0, -1.0, f64::NAN, f64::INFINITY] {
        let why = told(&shape, &shape, |s| s.sigma_intensity = bad);
        assert!(why.contains("sigma_intensity") && why.contains(&bad.to_string()), "{why}");
        let why = told(&shape, &shape, |s| s.sigma_space = bad);
        assert!(why.contains("sigma_space") && why.contains("positive"), "{why}");
    }
    let why = told(&shape, &shape, |s| s.radius = 0);
    assert!(why.contains("radius") && why.contains("at least 1"), "{why}");
}

#[test]
fn shapes_that_do_not_match_are_named() {
    let why = told(&[1, 2, 3, 4, 2], &[1, 2, 3, 5, 1], |_| ());
    assert!(why.contains("[1, 2, 3, 5, 1]") && why.contains("expected [1, 2, 3, 4, c]"), "{why}");
    assert!(told(&[2, 3, 4, 2], &[1, 2, 3, 4, 1], |_| ()).contains("five axes"));
    for (p, image) in [
        ([1, 0, 3, 4, 2], [1, 0, 3, 4, 1]),
        ([0, 2, 3, 4, 2], [0, 2, 3, 4, 1]),
        ([1, 2, 3, 4, 0], [1, 2, 3, 4, 1]),
        ([1, 2, 3, 4, 2], [1, 2, 3, 4, 0]),
    ] {
        assert!(told(&p, &image, |_| ()).contains("no extent may be zero"), "{p:?} {image:?}");
    }
}

#[test]
fn the_largest_radius_is_one_like_any_other() -> Result<()> {
    let (p, image) = (Tensor::full(0.5f32, &[1, 2, 3, 4, 2])?, Tensor::full(1.0f32, &[1, 2, 3, 4, 1])?);
    for form in FORMS {
        let of = |radius| {
            loss_and_gradient(&p, &image, &SoftNCuts { form, radius, ..SoftNCuts::default() }).map(|r| r.0)
        };
        assert_eq!(of(usize::MAX)?, of(3)?);
    }
    Ok(())
}

#[test]
fn what_is_not_a_number_is_not_hidden() -> Result<()> {
    let image = Tensor::from_slice(&[0.0f32, f32::NAN, 1.0, 2.0], &[1, 1, 1, 4, 1])?;
    let p = Tensor::full(0.5f32, &[1, 1, 1, 4, 2])?;
    for form in FORMS {
        let settings = SoftNCuts { form, ..SoftNCuts::default() };
        assert!(soft_ncuts(&p, &image, &settings)?.item()?.is_nan());
        assert!(
            soft_ncuts(
                &p.cast(cellseg_core::DType::F64)?,
                &image.cast(cellseg_core::DType::F64)?,
                &settings
            )?
            .item()?
            .is_nan()
        );
    }
    Ok(())
}

#[test]
fn the_image_gets_no_gradient() -> Result<()> {
    let tape = Tape::new();
    let p = Tensor::full(0.5f32, &[1, 2, 2, 2, 2])?.trainable();
    let image = Tensor::full(1.0f32, &[1, 2, 2, 2, 1])?.trainable();
    for form in FORMS {
        let settings = SoftNCuts { form, ..SoftNCuts::default() };
        let loss = soft_ncuts(&p.on(&tape), &image.on(&tape), &settings)?;
        let gradients = tape.backward(&loss)?;
        assert!(gradients.get(&p).is_some() && gradients.get(&image).is_none());
    }
    Ok(())
}
