use super::{
    cases::{CASES, TOLERANCE},
    *,
};
use crate::{
    dropout::{Dropout, dropout},
    pointwise::{
        Activation, activate, add,
        checks::{check, single, told},
    },
};
use cellseg_core::{
    Tape, Tensor,
    testing::{noise, relative_l2, wide},
};

const EPS: f64 = 1e-5;

fn inputs(dims: &[usize]) -> [Tensor; 3] {
    let c = dims[dims.len() - 1];
    [noise(dims, 1), noise(&[c], 2), noise(&[c], 3)]
}

/// Normalises what `group` gives the same number, which it is asked for each number's place in `[n, m, c]`.
fn expected(v: &[Vec<f64>], dims: &[usize], group: impl Fn(usize, usize, usize) -> usize) -> Vec<f64> {
    let c = dims[dims.len() - 1];
    let m = dims[1..dims.len() - 1].iter().product::<usize>();
    let groups: Vec<usize> = (0..v[0].len()).map(|i| group(i / c / m, i / c % m, i % c)).collect();
    let moments = |g: usize| {
        let of: Vec<f64> = v[0].iter().zip(&groups).filter(|(_, h)| **h == g).map(|(x, _)| *x).collect();
        let mean = of.iter().sum::<f64>() / of.len() as f64;
        (mean, of.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / of.len() as f64)
    };
    let moments: Vec<_> = (0..=groups.iter().copied().max().unwrap_or(0)).map(moments).collect();
    let y = |(i, x): (usize, &f64)| {
        let (mean, variance) = moments[groups[i]];
        (x - mean) / (variance + EPS).sqrt() * v[1][i % c] + v[2][i % c]
    };
    v[0].iter().enumerate().map(y).collect()
}

#[test]
fn groups_of_channels_are_normalised_over_all_voxels_of_a_sample() {
    for (dims, groups) in CASES {
        let width = dims[dims.len() - 1] / groups;
        check(
            &inputs(dims),
            TOLERANCE,
            |v| group_norm(&v[0], &v[1], &v[2], *groups, EPS),
            |v| expected(v, dims, |n, _, c| n * groups + c / width),
        );
    }
}

#[test]
fn instances_are_groups_of_one_channel() {
    for (dims, _) in &CASES[2..] {
        let channels = dims[dims.len() - 1];
        check(
            &inputs(dims),
            TOLERANCE,
            |v| instance_norm(&v[0], &v[1], &v[2], EPS),
            |v| expected(v, dims, |n, _, c| n * channels + c),
        );
    }
}

#[test]
fn layers_are_normalised_over_the_channels_of_each_voxel() {
    for dims in
        [&[1, 9][..], &[3, 12], &[2, 2, 2, 2, 5], &[1, 3, 5, 7, 6], &[2, 3, 48], &[5, 37], &[1, 6, 7, 8, 96]]
    {
        let m = dims[1..dims.len() - 1].iter().product::<usize>();
        check(
            &inputs(dims),
            TOLERANCE,
            |v| layer_norm(&v[0], &v[1], &v[2], EPS),
            |v| expected(v, dims, |n, voxel, _| n * m + voxel),
        );
    }
}

#[test]
fn numbers_far_from_zero_keep_their_variance() -> Result<()> {
    let dims = [2, 8, 8, 8, 4];
    let [x, gamma, beta] = inputs(&dims);
    let far = crate::pointwise::add_scalar(x, 1000.0)?;
    let rounded = single(&[far, gamma, beta]);
    let double: Vec<Tensor> =
        rounded.iter().map(|x| x.cast(cellseg_core::DType::F64)).collect::<Result<_>>()?;
    let run = |v: &[Tensor]| group_norm(&v[0], &v[1], &v[2], 2, EPS).map(|y| wide(&y));
    // The mean itself is rounded to 2^-14 there.
    let error = relative_l2(&run(&rounded)?, &run(&double)?);
    assert!(error < 1e-4, "{error}");
    Ok(())
}

#[test]
fn constant_numbers_give_the_shift() -> Result<()> {
    let [_, gamma, beta] = &single(&inputs(&[1, 4]))[..] else { unreachable!() };
    let x = Tensor::full(7.3f32, &[2, 3, 3, 3, 4])?;
    for y in [group_norm(&x, gamma, beta, 2, EPS)?, layer_norm(&x, gamma, beta, EPS)?] {
        for row in y.to_vec::<f32>()?.chunks(4) {
            assert_eq!(row, beta.to_vec::<f32>()?);
        }
    }
    Ok(())
}

#[test]
fn what_is_not_a_number_spoils_its_group_only() -> Result<()> {
    let [mut x, gamma, beta] = inputs(&[2, 5, 4]);
    x.as_mut_slice::<f64>()?[9] = f64::NAN;
    let y = group_norm(&x, &gamma, &beta, 2, EPS)?.to_vec::<f64>()?;
    for (i, y) in y.iter().enumerate() {
        assert_eq!(y.is_nan(), i < 20 && i % 4 < 2, "number {i}");
    }
    Ok(())
}

#[test]
fn no_samples_and_no_voxels_pass_through() -> Result<()> {
    for dims in [[0, 3, 4], [2, 0, 4]] {
        let [x, gamma, beta] = inputs(&dims);
        assert_eq!(group_norm(&x, &gamma, &beta, 2, EPS)?.shape().dims(), dims);
        assert_eq!(layer_norm(&x, &gamma, &beta, EPS)?.shape().dims(), dims);
    }
    Ok(())
}

#[test]
fn mistakes_name_what_was_given_and_what_is_expected() {
    let [x, gamma, beta] = inputs(&[2, 3, 6]);
    assert!(told(group_norm(&x, &gamma, &beta, 4, EPS)).contains("4 groups do not divide the 6 channels"));
    assert!(told(group_norm(&x, &gamma, &beta, 0, EPS)).contains("0 groups"));
    assert!(told(group_norm(&x, &noise(&[5], 1), &beta, 2, EPS)).contains("[6] is expected"));
    assert!(told(layer_norm(&x, &gamma, &beta, f64::NAN)).contains("eps is NaN"));
    assert!(told(layer_norm(&noise(&[6], 1), &gamma, &beta, EPS)).contains("[n, .., c]"));
    let with = |residual: &Tensor, settings| told(norm(&x, &gamma, &beta, Some(residual), &settings));
    assert!(with(&noise(&[2, 6], 1), Norm::groups(2)).contains("[2, 3, 6] is expected"));
    let dropout = Some(Dropout { p: 1.0, key: 0 });
    assert!(with(&x, Norm { dropout, ..Norm::groups(2) }).contains("[0, 1)"));
    let activation = Activation::LeakyRelu(-1.0);
    assert!(with(&x, Norm { activation, ..Norm::groups(2) }).contains("slope is -1"));
}

/// Every kind of activation, without and with dropout, in both orders.
fn stages() -> impl Iterator<Item = Norm> {
    let activations = [
        Activation::None,
        Activation::Relu,
        Activation::LeakyRelu(0.25),
        Activation::Elu(1.0),
        Activation::Gelu,
    ];
    let dropouts = [None, Some(Dropout { p: 0.4, key: 11 })];
    activations.into_iter().flat_map(move |activation| {
        dropouts.into_iter().flat_map(move |dropout| {
            [Order::NormFirst, Order::NormLast].map(|order| Norm {
                activation,
                dropout,
                order,
                ..Norm::groups(1)
            })
        })
    })
}

/// What a [`Norm`] computes, one operation after the other. There are four inputs where there is a residual.
fn one_by_one(v: &[Tensor], settings: &Norm) -> Result<Tensor> {
    let stage = |x: Tensor| -> Result<Tensor> {
        let x = activate(x, settings.activation)?;
        settings.dropout.map_or(Ok(x.clone()), |d| dropout(&x, d.p, d.key))
    };
    let norm = |x: &Tensor| group_norm(x, &v[1], &v[2], settings.groups, settings.eps);
    let sum = |x: Tensor| v.get(3).map_or(Ok(x.clone()), |residual| add(&x, residual));
    match settings.order {
        Order::NormFirst => stage(sum(norm(&v[0])?)?),
        Order::NormLast => sum(norm(&stage(v[0].clone())?)?),
    }
}

/// The output and the gradients of all inputs.
fn values(v: &[Tensor], f: impl Fn(&[Tensor]) -> Result<Tensor>) -> Result<Vec<Vec<f64>>> {
    let tape = Tape::new();
    let v: Vec<Tensor> = v.iter().map(|x| x.clone().trainable().on(&tape)).collect();
    let y = f(&v)?;
    let grads = tape.backward_from(&y, noise(y.shape().dims(), 8).cast(y.dtype())?)?;
    let of = |x: &Tensor| grads.get(x).map(wide).unwrap_or_default();
    Ok(std::iter::once(wide(&y)).chain(v.iter().map(of)).collect())
}

#[test]
fn what_is_fused_gives_the_bits_of_the_operations_one_by_one() -> Result<()> {
    for (dims, groups) in CASES {
        for settings in stages() {
            let settings = Norm { groups: *groups, ..settings };
            let mut v = single(&inputs(dims));
            for _ in 0..2 {
                let fused = values(&v, |v| norm(&v[0], &v[1], &v[2], v.get(3), &settings))?;
                let apart = values(&v, |v| one_by_one(v, &settings))?;
                assert_eq!(fused, apart, "{settings:?} of {} inputs {dims:?}", v.len());
                v.extend(single(&[noise(dims, 4)]));
            }
        }
    }
    Ok(())
}

#[test]
fn gradients_through_smooth_stages_are_those_of_differences() {
    for (dims, groups) in &CASES[2..7] {
        for settings in stages().filter(|s| matches!(s.activation, Activation::Elu(_) | Activation::Gelu)) {
            let settings = Norm { groups: *groups, ..settings };
            let mut v = inputs(dims).to_vec();
            v.push(noise(dims, 4));
            cellseg_core::testing::check_gradients(&v, 1e-6, |v| {
                norm(&v[0], &v[1], &v[2], v.get(3), &settings)
            });
        }
    }
}

#[test]
fn an_outlier_in_the_first_place_keeps_the_variance_of_the_rest() -> Result<()> {
    let [mut x, gamma, beta] = inputs(&[1, 40, 40, 40, 4]);
    // One number that outweighs all others, where a shift or a running mean would start.
    x.as_mut_slice::<f64>()?[0] = 3e4;
    let rounded = single(&[x, gamma, beta]);
    let double: Vec<Tensor> =
        rounded.iter().map(|x| x.cast(cellseg_core::DType::F64)).collect::<Result<_>>()?;
    let run = |v: &[Tensor]| group_norm(&v[0], &v[1], &v[2], 4, EPS).map(|y| wide(&y)[4..].to_vec());
    let error = relative_l2(&run(&rounded)?, &run(&double)?);
    assert!(error < 1e-6, "{error}");
    Ok(())
}

/// What PyTorch 2.15 gives for `BatchNorm1d(2, momentum=0.3)` with the weight (1.5, -0.5), the bias (0.25, 1), running means
/// (0.5, -1) and variances (2, 3), and the `[n, rows, c]` numbers below.
#[test]
fn batches_are_normalised_and_remembered_as_in_pytorch() -> Result<()> {
    let x = Tensor::from_slice(&[1.0, 2.0, 3.0, -4.0, 5.0, 0.5, -2.0, 1.0], &[2, 2, 2])?;
    let (gamma, beta) = (Tensor::from_slice(&[1.5, -0.5], &[2])?, Tensor::from_slice(&[0.25, 1.0], &[2])?);
    let mut running = Running {
        mean: Tensor::from_slice(&[0.5, -1.0], &[2])?,
        variance: Tensor::from_slice(&[2.0, 3.0], &[2])?,
    };
    let settings = Norm::groups(1);
    let close =
        |x: &Tensor, expected: &[f64]| assert!(relative_l2(&wide(x), expected) < 1e-12, "{:?}", wide(x));
    let y = batch_norm_training(&x, &gamma, &beta, None, &mut running, 0.3, &settings)?;
    let expected = [
        -0.1850310948137769,
        0.538343806176919,
        0.9750518246896281,
        1.841843647559736,
        2.1351347441930333,
        0.8642187665226233,
        -1.9251554740688843,
        0.7555937797407218,
    ];
    close(&y, &expected);
    close(&running.mean, &[0.875, -0.7375]);
    close(&running.variance, &[4.075, 4.21875]);
    let expected = [
        0.3428831493989036,
        0.3336050115030478,
        1.8290135397813607,
        1.794196767112806,
        3.3151439301638175,
        0.6987529504054875,
        -1.8863124361747823,
        0.5770369707713409,
    ];
    close(&batch_norm(&x, &gamma, &beta, None, &running, &settings)?, &expected);
    Ok(())
}

#[test]
fn batches_are_instances_of_one_sample_and_running_statistics_are_constants() -> Result<()> {
    let dims = [3, 2, 3, 5, 4];
    let mut v = inputs(&dims).to_vec();
    v.push(noise(&dims, 4));
    let running = Running { mean: noise(&[4], 5), variance: crate::pointwise::square(noise(&[4], 6))? };
    for order in [Order::NormFirst, Order::NormLast] {
        let dropout = Some(Dropout { p: 0.4, key: 11 });
        let settings = Norm { activation: Activation::Elu(1.0), dropout, order, ..Norm::groups(1) };
        let training = |v: &[Tensor]| {
            batch_norm_training(&v[0], &v[1], &v[2], v.get(3), &mut running.clone(), 0.1, &settings)
        };
        let as_one = |v: &[Tensor]| {
            let flat = |x: &Tensor| x.reshape(&[1, 90, 4]);
            let settings = Norm { groups: 4, ..settings };
            norm(flat(&v[0])?, &v[1], &v[2], Some(&flat(&v[3])?), &settings)?.reshape(&dims)
        };
        assert_eq!(values(&v, training)?, values(&v, as_one)?);
        cellseg_core::testing::check_gradients(&v, 1e-6, training);
        let inference = |v: &[Tensor]| batch_norm(&v[0], &v[1], &v[2], v.get(3), &running, &settings);
        cellseg_core::testing::check_gradients(&v, 1e-6, inference);
        // One sample alone gives the same as among others, but for its own mask.
        if order == Order::NormLast {
            continue;
        }
        let plain = Norm { dropout: None, ..settings };
        let all = batch_norm(&v[0], &v[1], &v[2], None, &running, &plain)?;
        let first = Tensor::from_slice(&v[0].to_vec::<f64>()?[..120], &[1, 2, 3, 5, 4])?;
        let alone = batch_norm(first, &v[1], &v[2], None, &running, &plain)?;
        assert_eq!(wide(&all)[..120], wide(&alone));
    }
    Ok(())
}

#[test]
fn mistakes_of_batch_norms_are_told() -> Result<()> {
    let [x, gamma, beta] = inputs(&[1, 1, 6]);
    let mut running = Running::new(6)?;
    let settings = Norm::groups(1);
    let training = |x: &Tensor, running: &mut Running, momentum| {
        told(batch_norm_training(x, &gamma, &beta, None, running, momentum, &settings))
    };
    assert!(training(&x, &mut running, 0.1).contains("needs two"));
    let x = noise(&[2, 3, 6], 1);
    assert!(training(&x, &mut running, 1.5).contains("momentum is 1.5"));
    assert!(training(&x, &mut Running::new(5)?, 0.1).contains("[6] is expected"));
    let residual = noise(&[6, 6], 1);
    let message = told(batch_norm(&x, &gamma, &beta, Some(&residual), &running, &settings));
    assert!(message.contains("a residual"), "{message}");
    Ok(())
}
