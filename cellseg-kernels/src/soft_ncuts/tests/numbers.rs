//! Precision, bits and memory.

use super::{
    super::{
        SoftNCuts,
        cases::{CASES, Case, PATCH, TOLERANCE},
        soft_ncuts,
    },
    FORMS, loss_and_gradient, random, rounded, with_threads,
};
use cellseg_core::{
    DType, Result, Tensor,
    testing::{relative_l2, wide},
};

#[test]
fn single_precision_agrees_with_double() -> Result<()> {
    for case in CASES {
        let [p, image] = random(case, 7).map(|t| rounded(&t, DType::F32));
        for form in FORMS {
            let settings = case.with(form);
            let (expected, truth) = loss_and_gradient(&p[0], &image[0], &settings)?;
            let (loss, gradient) = loss_and_gradient(&p[1], &image[1], &settings)?;
            assert!((loss / expected - 1.0).abs() < TOLERANCE, "{case:?} {form:?}: {loss} for {expected}");
            let error = relative_l2(&wide(&gradient), &wide(&truth));
            assert!(error < TOLERANCE, "{case:?} {form:?}: the gradient differs by {error}");
        }
    }
    Ok(())
}

/// The fourth power of a difference of numbers near 100 leaves nothing of a mean that is rounded carelessly.
#[test]
fn an_image_from_0_to_100_costs_no_precision() -> Result<()> {
    let [p, image] =
        random(&Case { size: [32; 3], contrast: 100.0, ..PATCH }, 9).map(|t| rounded(&t, DType::F32));
    for form in FORMS {
        let settings = SoftNCuts { form, ..SoftNCuts::default() };
        let (expected, truth) = loss_and_gradient(&p[0], &image[0], &settings)?;
        let (loss, gradient) = loss_and_gradient(&p[1], &image[1], &settings)?;
        assert!((loss / expected - 1.0).abs() < 1e-6, "{form:?}: {loss} for {expected}");
        let error = relative_l2(&wide(&gradient), &wide(&truth));
        assert!(error < 1e-5, "{form:?}: the gradient differs by {error}");
    }
    Ok(())
}

#[test]
fn half_precision_is_computed_in_single() -> Result<()> {
    let case = CASES.iter().find(|c| c.classes == 3 && c.batch == 2).expect("a case with a batch");
    let [p, image] = random(case, 11).map(|t| rounded(&t, DType::BF16)[1].clone());
    for form in FORMS {
        let (loss, gradient) = loss_and_gradient(&p, &image, &case.with(form))?;
        let (expected, truth) =
            loss_and_gradient(&p.cast(DType::F32)?, &image.cast(DType::F32)?, &case.with(form))?;
        assert_eq!(gradient.dtype(), DType::BF16);
        assert_eq!(gradient.to_vec::<half::bf16>()?, truth.cast(DType::BF16)?.to_vec::<half::bf16>()?);
        assert_eq!(loss, half::bf16::from_f64(expected).to_f64());
    }
    Ok(())
}

#[test]
fn the_number_of_threads_changes_no_bit() -> Result<()> {
    let thick = Case { batch: 2, size: [37, 6, 20], ..PATCH };
    for case in CASES.iter().chain([&thick]) {
        let [p, image] = random(case, 13).map(|t| t.cast(DType::F32).unwrap());
        for form in FORMS {
            let bits = |threads| {
                with_threads(threads, || {
                    let (loss, gradient) = loss_and_gradient(&p, &image, &case.with(form)).unwrap();
                    let gradient: Vec<u32> =
                        gradient.to_vec::<f32>().unwrap().iter().map(|g| g.to_bits()).collect();
                    (loss.to_bits(), gradient)
                })
            };
            let one = bits(1);
            for threads in [2, 3, 8] {
                assert!(bits(threads) == one, "{case:?} {form:?}: {threads} threads");
            }
        }
    }
    Ok(())
}

#[test]
fn the_loss_is_the_same_number_whether_a_gradient_is_wanted_or_not() -> Result<()> {
    for case in CASES {
        let [p, image] = random(case, 15).map(|t| t.cast(DType::F32).unwrap());
        for form in FORMS {
            let alone = soft_ncuts(&p, &image, &case.with(form))?.item()?;
            assert_eq!(loss_and_gradient(&p, &image, &case.with(form))?.0, alone, "{case:?} {form:?}");
        }
    }
    Ok(())
}

#[test]
fn the_gradient_scales_with_what_comes_after_the_loss() -> Result<()> {
    let case = &CASES[4];
    let [p, image] = random(case, 17);
    for form in FORMS {
        let (_, once) = loss_and_gradient(&p, &image, &case.with(form))?;
        let tape = cellseg_core::Tape::new();
        let traced = p.clone().trainable();
        let loss = soft_ncuts(&traced.on(&tape), &image, &case.with(form))?;
        let gradients = tape.backward_from(&loss, Tensor::scalar(-3.0f64)?)?;
        let scaled = wide(gradients.get(&traced).expect("the probabilities are trainable"));
        let expected: Vec<f64> = wide(&once).iter().map(|g| -3.0 * g).collect();
        assert!(relative_l2(&scaled, &expected) < 1e-14);
    }
    Ok(())
}
