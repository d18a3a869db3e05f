use proptest::prelude::*;

use super::*;
use crate::synth::Nucleus;

/// Checks what holds for every volume of labels.
fn check_labels(synth: &Synth, wanted: usize) {
    assert_eq!(synth.nuclei.len(), wanted);
    let labels = &synth.labels;
    let mut highest = 0;
    for &label in labels {
        assert!(label <= highest + 1, "label {label} comes first after {highest}");
        highest = highest.max(label);
    }
    assert_eq!(highest as usize, wanted);
    for (i, voxels) in voxels(labels).iter().enumerate() {
        assert_eq!(reachable(labels, voxels[0]), voxels.len(), "label {} is not one piece", i + 1);
    }
}

/// Number of voxels of the 6-connected piece around a voxel.
fn reachable(labels: &Array3<u32>, start: [usize; 3]) -> usize {
    let mut seen = std::collections::HashSet::from([start]);
    let mut open = vec![start];
    while let Some([z, y, x]) = open.pop() {
        let neighbours = [
            [z.wrapping_sub(1), y, x],
            [z + 1, y, x],
            [z, y.wrapping_sub(1), x],
            [z, y + 1, x],
            [z, y, x.wrapping_sub(1)],
            [z, y, x + 1],
        ];
        for voxel in neighbours {
            if labels.get(voxel) == Some(&labels[start]) && seen.insert(voxel) {
                open.push(voxel);
            }
        }
    }
    seen.len()
}

/// The nuclei that neither a neighbour nor the border cuts, with their voxels.
fn whole_nuclei(synth: &Synth) -> Vec<(&Nucleus, Vec<[usize; 3]>)> {
    let touches = touching(&synth.labels);
    let shape = synth.labels.shape();
    let inside = |n: &Nucleus| {
        let half = n.half_extent_um();
        (0..3).all(|i| {
            let last = (shape[i] - 1) as f64 * synth.spacing_um[i];
            n.centre_um[i] - half[i] >= 0.0 && n.centre_um[i] + half[i] <= last
        })
    };
    let all = synth.nuclei.iter().zip(voxels(&synth.labels)).zip(touches);
    all.filter(|((n, _), touches)| !touches && inside(n)).map(|(whole, _)| whole).collect()
}

#[test]
fn labels_are_single_pieces_in_raster_order_as_many_as_wanted() {
    for seed in 0..3 {
        check_labels(&make(&SynthOptions { seed, ..Default::default() }), 140);
    }
}

#[test]
fn every_voxel_has_the_label_of_the_ellipsoid_in_which_it_lies_deepest() {
    let options = SynthOptions { clustering: 0.9, compression: 0.2, ..small(3) };
    let synth = make(&options);
    let mut strays = 0;
    for ((z, y, x), &label) in synth.labels.indexed_iter() {
        let index = [z, y, x];
        let point = std::array::from_fn(|i| index[i] as f64 * options.spacing_um[i]);
        let depth = |n: &Nucleus| n.local(point).iter().map(|c| c * c).sum::<f64>();
        let deepest = (1..).zip(&synth.nuclei).filter(|(_, n)| depth(n) < 1.0);
        let expected = deepest.min_by(|(_, a), (_, b)| depth(a).total_cmp(&depth(b))).map_or(0, |(l, _)| l);
        strays += usize::from(label != expected);
        assert!(label == expected || label == 0, "at {index:?}: {label} instead of {expected}");
    }
    assert!(strays < 10, "{strays} voxels were taken off as loose pieces");
}

#[test]
fn sizes_and_brightness_span_the_wanted_ranges() {
    let options = SynthOptions::default();
    let synth = make(&options);
    let check = |values: Vec<f64>, [low, high]: [f64; 2]| {
        let (min, max) = values.iter().fold((f64::MAX, f64::MIN), |(a, b), &v| (a.min(v), b.max(v)));
        let tenth = 0.1 * (high - low);
        assert!(min >= low && max <= high, "{min}..{max} is outside {low}..{high}");
        assert!(min < low + tenth && max > high - tenth, "{min}..{max} does not span {low}..{high}");
    };
    check(synth.nuclei.iter().flat_map(|n| n.semi_axes_um).collect(), options.semi_axes_um);
    check(synth.nuclei.iter().map(|n| n.brightness).collect(), options.brightness);
}

#[test]
fn volume_and_second_moments_of_whole_nuclei_are_those_of_the_ellipsoid_in_um() {
    for spacing_um in [[1.0, 0.5, 0.5], [0.5, 1.0, 0.8], [0.6, 0.6, 0.6]] {
        let options =
            SynthOptions { shape: [80, 80, 80], spacing_um, nuclei: 40, clustering: 0.0, ..small(4) };
        let synth = make(&options);
        assert_eq!(synth.spacing_um, spacing_um);
        let whole = whole_nuclei(&synth);
        assert!(whole.len() >= 10, "only {} nuclei to look at", whole.len());
        for (nucleus, voxels) in whole {
            let n = voxels.len() as f64;
            let voxel_um3: f64 = spacing_um.iter().product();
            let expected = 4.0 / 3.0 * std::f64::consts::PI * nucleus.semi_axes_um.iter().product::<f64>();
            assert!((n * voxel_um3 / expected - 1.0).abs() < 0.04, "{} um3, not {expected}", n * voxel_um3);

            let centroid: [f64; 3] =
                std::array::from_fn(|i| voxels.iter().map(|v| v[i] as f64 * spacing_um[i]).sum::<f64>() / n);
            for i in 0..3 {
                assert!((centroid[i] - nucleus.centre_um[i]).abs() < 0.15 * spacing_um[i]);
                for j in 0..3 {
                    let moment = voxels.iter().map(|v| {
                        (v[i] as f64 * spacing_um[i] - centroid[i])
                            * (v[j] as f64 * spacing_um[j] - centroid[j])
                    });
                    // The covariance of a solid ellipsoid is a fifth of its shape matrix.
                    let shape = (0..3).map(|k| {
                        nucleus.semi_axes_um[k].powi(2) * nucleus.axes[k][i] * nucleus.axes[k][j] / 5.0
                    });
                    let (moment, shape) = (moment.sum::<f64>() / n, shape.sum::<f64>());
                    assert!((moment - shape).abs() < 0.2, "moment {i}{j}: {moment} um2, not {shape}");
                }
            }
        }
    }
}

#[test]
fn clustering_decides_how_many_nuclei_touch() {
    let share = |clustering| {
        let touches = touching(&make(&SynthOptions { clustering, ..Default::default() }).labels);
        touches.iter().filter(|&&t| t).count() as f64 / touches.len() as f64
    };
    assert_eq!(share(0.0), 0.0);
    assert!((0.5..0.8).contains(&share(0.45)), "{}", share(0.45));
    assert!(share(1.0) > 0.95, "{}", share(1.0));
}

#[test]
fn compression_makes_contacts_wider() {
    let faces = |compression| {
        let labels = make(&SynthOptions { compression, clustering: 1.0, ..Default::default() }).labels;
        let pair = |a: &u32, b: &u32| usize::from(a != b && *a > 0 && *b > 0);
        let (left, right) = (labels.slice(s![.., .., ..-1]), labels.slice(s![.., .., 1..]));
        left.iter().zip(right).map(|(a, b)| pair(a, b)).sum::<usize>()
    };
    assert!(faces(0.2) > 2 * faces(0.05));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn any_volume_that_can_be_made_is_sound(
        seed in any::<u64>(),
        shape in [12usize..30, 12usize..40, 12usize..40],
        spacing_um in [0.5f64..2.0, 0.5f64..2.0, 0.5f64..2.0],
        clustering in 0.0f64..=1.0,
        compression in 0.0f64..=0.3,
        sigma in 0.0f64..2.0,
    ) {
        let base = SynthOptions { seed, shape, spacing_um, clustering, compression, ..Default::default() };
        let options = SynthOptions { nuclei: 4, semi_axes_um: [2.0, 2.9], psf_sigma_um: [sigma; 3], ..base };
        let synth = make(&options);
        check_labels(&synth, 4);
        prop_assert!(synth.image.iter().all(|v| v.fract() == 0.0 && (0.0..=65_535.0).contains(v)));
    }
}
