//! SoftNCuts at the size of CellSeg3D's patches.

use super::{Case, Result, Round, Work, inputs::single, place::place};
use cellseg_core::{Tape, Tensor};
use cellseg_kernels::{
    pointwise,
    soft_ncuts::{Form, cases::PATCH, soft_ncuts},
    softmax::softmax,
};
use serde_json::json;

/// Probabilities and an image from 0 to 1.
fn patch() -> Result<[Tensor; 2]> {
    let p = softmax(pointwise::scale(single(&PATCH.probabilities(), 1)?, 4.0)?)?;
    let grey = single(&PATCH.image(), 2)?.to_vec::<f32>()?;
    let image: Vec<f32> = grey.iter().map(|x| x + 0.5).collect();
    Ok([p, Tensor::from_slice(&image, &PATCH.image())?.to(&place().device)?])
}

fn round(form: Form, gradient: bool) -> Result<Round> {
    let settings = PATCH.with(form);
    let [mut p, image] = patch()?;
    if !gradient {
        return Ok(Box::new(move |watch| Ok(vec![watch.time(|| soft_ncuts(&p, &image, &settings))?])));
    }
    p = p.trainable();
    Ok(Box::new(move |watch| {
        let mut found = watch.time(|| {
            let tape = Tape::new();
            let loss = soft_ncuts(&p.on(&tape), &image, &settings)?;
            tape.backward(&loss)
        })?;
        Ok(found.take(&p).into_iter().collect())
    }))
}

/// Both forms, forward alone and forward with the gradient.
pub(crate) fn cases() -> Vec<Case> {
    let mut cases = vec![];
    for form in [Form::Approximate, Form::Exact] {
        for (gradient, pass) in [(false, "forward"), (true, "forward and gradient")] {
            let form_name = format!("{form:?}").to_lowercase();
            cases.push(Case {
                name: format!("soft_ncuts {form_name} 64^3, 2 classes, radius 2, {pass}"),
                what: json!({
                    "operation": "soft_ncuts", "form": form_name, "pass": pass,
                    "probabilities": PATCH.probabilities(), "image": PATCH.image(), "radius": PATCH.settings.radius,
                    "sigma_intensity": PATCH.settings.sigma_intensity, "sigma_space": PATCH.settings.sigma_space,
                }),
                work: Work::Bytes(
                    4.0 * (PATCH.probabilities().iter().product::<usize>() * if gradient { 2 } else { 1 }
                        + PATCH.image().iter().product::<usize>()) as f64,
                ),
                prepare: Box::new(move || round(form, gradient)),
            });
        }
    }
    cases
}
