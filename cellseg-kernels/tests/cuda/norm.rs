//! Normalisations, with all that is computed along with them.

use crate::parity::{self, TYPES, tolerance};
use cellseg_core::{
    DType, Device, Result, Tensor,
    testing::{noise, relative_l2, wide},
};
use cellseg_kernels::{
    dropout::Dropout,
    norm::{
        Norm, Order, Running, batch_norm, batch_norm_training,
        cases::{CASES, TOLERANCE},
        group_norm, instance_norm, layer_norm, norm,
    },
    pointwise::{Activation, add_scalar},
};
use libtest_mimic::Trial;

const EPS: f64 = 1e-5;

/// Channels that packs fill, few and many; samples of many chunks; rows of more than 256 packs.
const MORE: &[(&[usize], usize)] = &[
    (&[2, 3, 5, 7, 16], 4),
    (&[1, 9, 11, 13, 8], 8),
    (&[1, 7, 24], 1),
    (&[1, 5, 2304], 3),
    (&[2, 1, 1, 1, 8], 2),
];

/// The channels of rows for the layer norm: held in one, two and four packs a thread, and in none.
const CHANNELS: &[(usize, usize)] =
    &[(3, 9), (70, 8), (50, 48), (33, 96), (10, 192), (9, 300), (7, 768), (5, 1040)];

const STAGES: [Activation; 6] = [
    Activation::None,
    Activation::Relu,
    Activation::LeakyRelu(0.25),
    Activation::Elu(1.0),
    Activation::Gelu,
    Activation::Sigmoid,
];

fn inputs(dims: &[usize]) -> [Tensor; 3] {
    let c = dims[dims.len() - 1];
    [noise(dims, 1), noise(&[c], 2), noise(&[c], 3)]
}

pub(crate) fn trials(device: &Device) -> Vec<Trial> {
    let mut trials = Vec::new();
    for (dims, groups) in CASES.iter().chain(MORE) {
        let name = format!("group norm of {dims:?} in {groups} groups");
        let f = |v: &[Tensor]| group_norm(&v[0], &v[1], &v[2], *groups, EPS);
        trials.extend(parity::trials(device, &name, &inputs(dims), TOLERANCE, f));
    }
    let dims = [2, 4, 5, 6, 24];
    let instance = |v: &[Tensor]| instance_norm(&v[0], &v[1], &v[2], EPS);
    trials.extend(parity::trials(device, "instance norm", &inputs(&dims), TOLERANCE, instance));
    for (rows, channels) in CHANNELS {
        let (dims, name) = ([1, *rows, *channels], format!("layer norm of {rows} rows of {channels}"));
        let f = |v: &[Tensor]| layer_norm(&v[0], &v[1], &v[2], EPS);
        trials.extend(parity::trials(device, &name, &inputs(&dims), TOLERANCE, f));
    }
    for (order, dropout, _) in combinations() {
        let dims = [2, 3, 4, 5, 16];
        let settings = Norm { activation: Activation::Elu(1.0), dropout, order, ..Norm::groups(1) };
        let (name, numbers) = (format!("batch norm in training and inference, {settings:?}"), inputs(&dims));
        trials.extend(parity::trials(device, &name, &numbers, TOLERANCE, move |v| {
            // The second norm uses what the first has remembered, on the device of its input.
            let mut running = Running::new(16)?.to(&v[0].device())?;
            let y = batch_norm_training(&v[0], &v[1], &v[2], None, &mut running, 0.3, &settings)?;
            batch_norm(&y, &v[1], &v[2], None, &running, &settings)
        }));
    }
    for (i, activation) in STAGES.into_iter().enumerate() {
        for (j, (order, dropout, residual)) in combinations().enumerate() {
            // Packs fill the rows of the first and not of the second.
            let dims = if (i + j) % 3 > 0 { [2, 3, 4, 5, 16] } else { [2, 3, 4, 5, 6] };
            let settings = Norm { activation, dropout, order, ..Norm::groups(2) };
            let mut inputs = inputs(&dims).to_vec();
            inputs.extend(residual.then(|| noise(&dims, 4)));
            let name = format!("{settings:?} of {dims:?}, residual: {residual}");
            let f = move |v: &[Tensor]| norm(&v[0], &v[1], &v[2], v.get(3), &settings);
            trials.extend(parity::trials(device, &name, &inputs, TOLERANCE, f));
        }
    }
    trials.push(parity::trial(
        device,
        "a norm without a tape is the norm with one, and works in place",
        unrecorded,
    ));
    trials.push(parity::trial(device, "numbers far from zero keep their variance on a GPU", far_from_zero));
    trials.push(parity::trial(
        device,
        "an outlier where a chunk starts does not disturb the others",
        outlier,
    ));
    trials
}

fn combinations() -> impl Iterator<Item = (Order, Option<Dropout>, bool)> {
    [Order::NormFirst, Order::NormLast].into_iter().flat_map(|order| {
        [None, Some(Dropout { p: 0.4, key: 11 })]
            .into_iter()
            .flat_map(move |dropout| [false, true].map(|residual| (order, dropout, residual)))
    })
}

fn unrecorded(device: &Device) -> Result<()> {
    for dtype in TYPES {
        for (order, dropout, _) in combinations() {
            let settings = Norm { activation: Activation::Relu, dropout, order, ..Norm::groups(4) };
            let [x, gamma, beta] = inputs(&[2, 3, 5, 16]).map(|x| x.cast(dtype));
            let [gamma, beta] = [gamma?.to(device)?, beta?.to(device)?];
            let x = x?.to(device)?;
            let tape = cellseg_core::Tape::new();
            let recorded = wide(&norm(x.clone().trainable().on(&tape), &gamma, &beta, None, &settings)?);
            let plain = wide(&norm(&x, &gamma, &beta, None, &settings)?);
            let in_place = wide(&norm(x, &gamma, &beta, None, &settings)?);
            assert!(recorded == plain && recorded == in_place, "{settings:?}, {dtype:?}");
        }
    }
    Ok(())
}

fn far_from_zero(device: &Device) -> Result<()> {
    let [x, gamma, beta] = inputs(&[2, 8, 8, 8, 8]);
    let single = [add_scalar(x, 1000.0)?, gamma, beta].map(|x| x.cast(DType::F32));
    let [x, gamma, beta] = single;
    let (x, gamma, beta) = (x?, gamma?, beta?);
    let there = group_norm(x.to(device)?, &gamma.to(device)?, &beta.to(device)?, 2, EPS)?;
    let [x, gamma, beta] = [x, gamma, beta].map(|x| x.cast(DType::F64));
    let exact = group_norm(&x?, &gamma?, &beta?, 2, EPS)?;
    let error = relative_l2(&wide(&there), &wide(&exact));
    // The mean itself is rounded to 2^-14 there.
    assert!(error < tolerance(DType::F32, 1e-4), "{error}");
    Ok(())
}

fn outlier(device: &Device) -> Result<()> {
    let [mut x, gamma, beta] = inputs(&[1, 40, 40, 40, 4]);
    x.as_mut_slice::<f64>()?[0] = 3e4;
    let [x, gamma, beta] = [x, gamma, beta].map(|x| x.cast(DType::F32));
    let (x, gamma, beta) = (x?, gamma?, beta?);
    let run = |device: &Device| -> Result<Vec<f64>> {
        let y = group_norm(x.to(device)?, &gamma.to(device)?, &beta.to(device)?, 4, EPS)?;
        Ok(wide(&y)[4..].to_vec())
    };
    let error = relative_l2(&run(device)?, &run(&Device::Cpu)?);
    assert!(error < 2e-6, "{error}");
    Ok(())
}
