use super::{
    cases::{CASES, TOLERANCE},
    *,
};
use crate::pointwise::checks::{check, told};
use cellseg_core::testing::noise;

const ALL: [Interpolation; 3] = [
    Interpolation::Nearest,
    Interpolation::Trilinear { align_corners: false },
    Interpolation::Trilinear { align_corners: true },
];

/// The number at each place of the output by the definition: the sum over all voxels of the input, each weighted by a
/// triangle around the place along each axis.
fn expected(dims: [usize; 5], size: [usize; 3], interpolation: Interpolation, x: &[f64]) -> Vec<f64> {
    let [n, d, h, w, c] = dims;
    let weight = |axis: usize, from: usize, to: usize| {
        let (length, size) = ([d, h, w][axis] as f64, size[axis] as f64);
        let (from, to) = (from as f64, to as f64);
        let place = match interpolation {
            Interpolation::Nearest => return f64::from((to * length / size).floor() == from),
            Interpolation::Trilinear { align_corners: false } => (to + 0.5) * length / size - 0.5,
            Interpolation::Trilinear { align_corners: true } => to * (length - 1.0) / (size - 1.0).max(1.0),
        };
        (1.0 - (place.clamp(0.0, length - 1.0) - from).abs()).max(0.0)
    };
    let mut out = Vec::new();
    for i in 0..n * size.iter().product::<usize>() * c {
        let (channel, voxel) = (i % c, i / c);
        let to = [voxel / (size[2] * size[1]) % size[0], voxel / size[2] % size[1], voxel % size[2]];
        let sample = voxel / size.iter().product::<usize>();
        let mut sum = 0.0;
        for from in 0..d * h * w {
            let place = [from / (h * w), from / w % h, from % w];
            let weights = (0..3).map(|axis| weight(axis, place[axis], to[axis])).product::<f64>();
            sum += weights * x[(sample * d * h * w + from) * c + channel];
        }
        out.push(sum);
    }
    out
}

#[test]
fn numbers_and_gradients_are_those_of_the_definition() {
    for (dims, size) in CASES {
        for interpolation in ALL {
            check(
                &[noise(dims, 1)],
                TOLERANCE,
                |v| resize(&v[0], *size, interpolation),
                |v| expected(*dims, *size, interpolation, &v[0]),
            );
        }
    }
}

#[test]
fn the_same_extents_change_nothing() -> Result<()> {
    let x = noise(&[1, 3, 4, 5, 2], 1);
    for interpolation in ALL {
        assert_eq!(resize(&x, [3, 4, 5], interpolation)?.to_vec::<f64>()?, x.to_vec::<f64>()?);
    }
    Ok(())
}

#[test]
fn what_is_not_a_number_stays_where_it_is() -> Result<()> {
    let mut x = noise(&[1, 1, 1, 8, 1], 1);
    x.as_mut_slice::<f64>()?[3] = f64::INFINITY;
    for interpolation in ALL {
        let y = resize(&x, [1, 1, 16], interpolation)?.to_vec::<f64>()?;
        assert!(y.iter().enumerate().all(|(i, y)| y.is_finite() || (4..10).contains(&i)), "{y:?}");
    }
    Ok(())
}

#[test]
fn extents_of_zero_are_errors_and_no_samples_pass_through() -> Result<()> {
    assert!(
        told(resize(&noise(&[1, 2, 2, 2, 1], 1), [0, 2, 2], Interpolation::Nearest)).contains("start at 1")
    );
    assert!(told(resize(&noise(&[1, 2, 0, 2, 1], 1), [2; 3], Interpolation::Nearest)).contains("start at 1"));
    assert!(told(resize(&noise(&[2, 2], 1), [2; 3], Interpolation::Nearest)).contains("five axes"));
    let none = resize(&noise(&[0, 2, 2, 2, 3], 1), [4; 3], Interpolation::Nearest)?;
    assert_eq!(none.shape().dims(), [0, 4, 4, 4, 3]);
    Ok(())
}
