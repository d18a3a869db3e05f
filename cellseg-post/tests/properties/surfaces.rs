use cellseg_post::{Connectivity, Spacing, components, contacts, regions, surface_areas, surface_sphericity};
use ndarray::{Array3, s};
use proptest::prelude::*;

use super::volume;

/// An ellipsoid of semi-axes in micrometres, turned around z and then around x, in voxels of the spacing.
fn ellipsoid(semi_axes: [f64; 3], turns: [f64; 2], shift: [f64; 3], spacing: Spacing) -> Array3<u32> {
    let sides = spacing.to_array();
    let reach = semi_axes.iter().copied().fold(0.0, f64::max);
    let half = sides.map(|side| (reach / side).ceil() as usize + 2);
    let (sin_z, cos_z) = turns[0].sin_cos();
    let (sin_x, cos_x) = turns[1].sin_cos();
    Array3::from_shape_fn([2 * half[0] + 1, 2 * half[1] + 1, 2 * half[2] + 1], |(z, y, x)| {
        let at = [z, y, x];
        let [z, y, x]: [f64; 3] =
            std::array::from_fn(|axis| (at[axis] as f64 - half[axis] as f64 - shift[axis]) * sides[axis]);
        let (y, x) = (cos_z * y - sin_z * x, sin_z * y + cos_z * x);
        let (z, y) = (cos_x * z - sin_x * y, sin_x * z + cos_x * y);
        let inside = [z, y, x].iter().zip(semi_axes).map(|(at, axis)| (at / axis).powi(2)).sum::<f64>();
        u32::from(inside <= 1.0)
    })
}

/// The surface of an ellipsoid, by Simpson-like midpoint sums over its parameters.
fn surface([a, b, c]: [f64; 3]) -> f64 {
    let steps = 400;
    let mut area = 0.0;
    for i in 0..steps {
        let theta = std::f64::consts::PI * (i as f64 + 0.5) / steps as f64;
        for j in 0..steps {
            let phi = std::f64::consts::TAU * (j as f64 + 0.5) / steps as f64;
            let (n_a, n_b, n_c) = (
                b * c * theta.sin().powi(2) * phi.cos(),
                a * c * theta.sin().powi(2) * phi.sin(),
                a * b * theta.sin() * theta.cos(),
            );
            area += (n_a * n_a + n_b * n_b + n_c * n_c).sqrt();
        }
    }
    area * std::f64::consts::PI / steps as f64 * std::f64::consts::TAU / steps as f64
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn ellipsoids_have_their_surface_within_3_per_cent_at_any_spacing(
        axes in [0.5f64..1.0, 0.5f64..1.0, 0.5f64..1.0],
        turns in [0.0f64..3.2, 0.0f64..3.2],
        shift in [-0.5f64..0.5, -0.5f64..0.5, -0.5f64..0.5],
        sides in prop_oneof![Just([1.0, 1.0, 1.0]), Just([2.0, 1.0, 1.0]), Just([5.0, 1.5, 1.5]), Just([1.0, 2.0, 3.0])],
    ) {
        let spacing = Spacing::new(sides[0], sides[1], sides[2]).unwrap();
        let semi_axes = axes.map(|axis| axis * 14.0 * spacing.voxel_volume().cbrt());
        let ids = ellipsoid(semi_axes, turns, shift, spacing);
        let measured = surface_areas(ids.view(), spacing);
        prop_assert_eq!(measured.len(), 1);
        let error = measured[0].1 / surface(semi_axes) - 1.0;
        prop_assert!(error.abs() < 0.03, "{} for {:?} at {:?}", error, semi_axes, sides);
    }

    #[test]
    fn surfaces_and_contacts_are_those_of_a_walk_over_the_pairs_of_voxels(
        ids in volume(prop_oneof![2 => Just(0u32), 2 => Just(1), 1 => Just(u32::MAX), 1 => Just(6_000_000)], 6),
        wide in 1usize..8,
    ) {
        // Wider than the blocks of the vectors.
        let (nz, ny, nx) = ids.dim();
        let ids = Array3::from_shape_fn((nz, ny, nx * wide + 40), |(z, y, x)| ids[[z, y, x / wide % nx]]);
        let spacing = Spacing::new(2.0, 1.0, 0.5).unwrap();
        let mut pairs = std::collections::BTreeMap::<[u32; 2], [u64; 3]>::new();
        for ((z, y, x), &id) in ids.indexed_iter() {
            for (axis, at) in [[z + 1, y, x], [z, y + 1, x], [z, y, x + 1]].into_iter().enumerate() {
                let other = ids.get(at).copied().unwrap_or(0);
                if id != 0 && other != 0 && id != other {
                    pairs.entry([id.min(other), id.max(other)]).or_default()[axis] += 1;
                }
            }
        }
        let found: Vec<_> = contacts(ids.view(), spacing).iter().map(|contact| (contact.ids, contact.faces)).collect();
        prop_assert_eq!(found, pairs.into_iter().collect::<Vec<_>>());

        // Each object's area alone, in a volume of its own with background all around.
        for (id, area) in surface_areas(ids.view(), spacing) {
            let mut alone = Array3::<u32>::zeros((nz + 2, ny + 2, ids.dim().2 + 2));
            alone.slice_mut(s![1..=nz, 1..=ny, 1..=ids.dim().2]).assign(&ids.mapv(|other| u32::from(other == id)));
            let expected = surface_areas(alone.view(), spacing)[0].1;
            prop_assert!((area / expected - 1.0).abs() < 1e-12);
        }
    }

    #[test]
    fn surfaces_turn_with_the_volume_and_its_spacing(ids in volume(0u32..3, 7)) {
        let spacing = Spacing::new(5.0, 1.5, 1.0).unwrap();
        let turned = Spacing::new(1.5, 1.0, 5.0).unwrap();
        let areas = surface_areas(ids.view(), spacing);
        for (a, b) in areas.iter().zip(surface_areas(ids.view().permuted_axes([1, 2, 0]), turned)) {
            // The fit of the weights looks at other directions of space.
            prop_assert!(a.0 == b.0 && (a.1 / b.1 - 1.0).abs() < 1e-3, "{:?} {:?}", a, b);
        }
        let mut flipped = ids.view();
        flipped.invert_axis(ndarray::Axis(1));
        prop_assert_eq!(areas, surface_areas(flipped, spacing));
    }
}

#[test]
fn a_ball_has_a_sphericity_of_one_and_a_cube_less() {
    let spacing = Spacing::new(2.0, 1.0, 1.0).unwrap();
    let ids = ellipsoid([12.0; 3], [0.0; 2], [0.1, 0.2, 0.3], spacing);
    let (volume, area) =
        (regions(ids.view(), None, spacing).unwrap()[0].volume, surface_areas(ids.view(), spacing)[0].1);
    assert!((surface_sphericity(volume, area) - 1.0).abs() < 0.02);
    assert!((surface_sphericity(8.0, 24.0) - (std::f64::consts::PI / 6.0).cbrt()).abs() < 1e-12);
    assert_eq!(surface_areas(Array3::<u32>::zeros((0, 3, 3)).view(), spacing), []);
}

#[test]
fn components_of_ids_keep_ids_apart() {
    let ids = ndarray::arr3(&[[[7, 7, 0, 7, u32::MAX, u32::MAX, 7]]]);
    let labels = cellseg_post::components_of_ids(ids.view(), Connectivity::Six).unwrap();
    assert_eq!(labels.ids(), ndarray::arr3(&[[[1, 1, 0, 2, 3, 3, 4]]]));
    assert_eq!(components(ids.mapv(|id| id != 0).view(), Connectivity::Six).unwrap().count(), 2);
}
