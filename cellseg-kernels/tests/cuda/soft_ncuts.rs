//! SoftNCuts, both forms: the loss and the gradient of the probabilities.

use cellseg_core::{
    DType, Device, Result, Tape, Tensor,
    testing::{check_parity, noise, wide},
};
use cellseg_kernels::soft_ncuts::{
    Form, SoftNCuts,
    cases::{CASES, Case},
    soft_ncuts,
};
use libtest_mimic::Trial;

/// The largest relative l2 difference from the CPU.
///
/// Both compute in f32 and add up in f64, so in f32 they differ by the order of short sums and by the exponentials' last
/// bits; with 16-bit numbers by one unit in the last place, where a result lies between two of them.
fn tolerance(dtype: DType) -> f64 {
    match dtype {
        DType::BF16 => 8e-3,
        DType::F16 => 1e-3,
        _ => 1e-5,
    }
}

/// What no table of the CPU's needs to have: more classes than a tile has columns, volumes of several tiles along each
/// axis of either form, more chunks of voxels than one for the means, and an image from 0 to 100, of which the weights
/// leave nothing where a mean is rounded carelessly.
fn further() -> [Case; 4] {
    let of = |batch, size, classes, channels| Case { batch, size, classes, channels, ..CASES[4] };
    let wide = Case { contrast: 100.0, ..of(1, [16, 18, 17], 2, 1) };
    [of(1, [2, 3, 2], 35, 1), of(2, [19, 34, 33], 2, 1), of(1, [3, 35, 36], 11, 2), wide]
}

pub(crate) fn trials(device: &Device) -> Vec<Trial> {
    let further = further();
    let cases = CASES.iter().chain(&further).copied();
    cases
        .flat_map(|case| [Form::Approximate, Form::Exact].map(|form| (case, form)))
        .flat_map(|(case, form)| {
            let refused = refuses(device, &case, form);
            [DType::F32, DType::F16, DType::BF16]
                .map(|dtype| trial(device, case, form, dtype).with_ignored_flag(refused))
        })
        .chain([no_gradient(device), too_wide(device)])
        .collect()
}

/// Whether the device says that its shared memory is too small for a case, as that of Turing is for four of them. What is
/// said of a window that fits no device has a trial of its own.
fn refuses(device: &Device, case: &Case, form: Form) -> bool {
    /// What every later generation has, and these cases need.
    const ENOUGH: usize = 96 << 10;
    let small = matches!(device, Device::Cuda(gpu) if gpu.shared_per_block() < ENOUGH);
    let run = || -> Result<()> {
        let tape = Tape::new();
        let [p, image] = inputs(case, DType::F32);
        let p = p.to(device)?.trainable();
        let loss = soft_ncuts(&p.on(&tape), &image.to(device)?, &case.with(form))?;
        tape.backward(&loss).map(drop)
    };
    small && run().is_err_and(|e| e.to_string().contains("bytes of shared memory"))
}

/// Probabilities that add up to one, and an image.
fn inputs(case: &Case, dtype: DType) -> [Tensor; 2] {
    let odds: Vec<f64> = wide(&noise(&case.probabilities(), 3)).iter().map(|x| x.exp()).collect();
    let p: Vec<f64> = odds
        .chunks(case.classes)
        .flat_map(|voxel| {
            let sum: f64 = voxel.iter().sum();
            voxel.iter().map(move |x| x / sum)
        })
        .collect();
    let image: Vec<f64> = wide(&noise(&case.image(), 4)).iter().map(|x| x * case.contrast).collect();
    [(p, case.probabilities()), (image, case.image())]
        .map(|(x, dims)| Tensor::from_slice(&x, &dims).and_then(|t| t.cast(dtype)).expect("a case's shape"))
}

fn trial(device: &Device, case: Case, form: Form, dtype: DType) -> Trial {
    let Case { batch, size, classes, channels, settings, .. } = case;
    let radius = settings.radius;
    let name = format!(
        "soft_ncuts {form:?}: {batch}x{size:?}, {classes} classes, {channels} channels, radius {radius}, {dtype:?}"
    );
    let device = device.clone();
    Trial::test(name, move || {
        let [p, image] = inputs(&case, dtype);
        check_parity(&device, &[p], tolerance(dtype), |v| {
            soft_ncuts(&v[0], &image.to(&v[0].device())?, &case.with(form))
        });
        Ok(())
    })
}

/// Without a tape less is computed, and kept: the loss is the same.
fn no_gradient(device: &Device) -> Trial {
    let device = device.clone();
    Trial::test("soft_ncuts: the loss without a gradient", move || {
        for form in [Form::Approximate, Form::Exact] {
            let case = &CASES[7];
            let [p, image] = inputs(case, DType::F32).map(|t| t.to(&device).expect("a copy"));
            let alone = soft_ncuts(&p, &image, &case.with(form))?.item()?;
            let tape = cellseg_core::Tape::new();
            let recorded = soft_ncuts(&p.trainable().on(&tape), &image, &case.with(form))?.item()?;
            assert_eq!(alone, recorded, "{form:?}");
        }
        Ok(())
    })
}

/// A window of which the halo fits no block's shared memory.
fn too_wide(device: &Device) -> Trial {
    let device = device.clone();
    Trial::test("soft_ncuts: a radius beyond shared memory is told with what to do", move || {
        let p = Tensor::full(0.5f32, &[1, 1, 300, 300, 2])?.to(&device)?;
        let image = Tensor::full(1.0f32, &[1, 1, 300, 300, 1])?.to(&device)?;
        for form in [Form::Approximate, Form::Exact] {
            let settings = SoftNCuts { form, radius: 200, ..SoftNCuts::default() };
            let told =
                soft_ncuts(&p, &image, &settings).map(|_| ()).expect_err("it does not fit").to_string();
            assert!(told.contains("make the radius smaller or use the CPU"), "{told}");
        }
        Ok(())
    })
}
