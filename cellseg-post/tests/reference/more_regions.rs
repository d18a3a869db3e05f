use approx::assert_abs_diff_eq;
use cellseg_post::{
    Connectivity, Spacing, components, full_region_table, intensity_quantiles, local_densities,
    nearest_neighbours, regions, solidities,
};
use ndarray::{Array2, Array3};

use super::fixture;

fn spacing() -> Spacing {
    Spacing::new(2.5, 1.0, 0.7).unwrap()
}

#[test]
fn solidity_quantiles_and_axes_are_those_of_scikit_image_and_numpy() {
    let (ids, image): (Array3<u32>, Array3<f32>) = (fixture("regions_ids"), fixture("regions_image"));
    let expected: Array2<f64> = fixture("more_regions");
    let solidities = solidities(ids.view());
    let quantiles = intensity_quantiles(ids.view(), image.view(), &[0.0, 0.25, 0.5, 0.9, 1.0]).unwrap();
    let regions = regions(ids.view(), None, spacing()).unwrap();
    assert_eq!(regions.len(), expected.nrows());
    for (number, expected) in expected.rows().into_iter().enumerate() {
        let region = &regions[number];
        assert_eq!(
            (region.id, solidities[number].0, quantiles[number].0),
            (expected[0] as u32, region.id, region.id)
        );
        // Of flat objects scikit-image finds no hull.
        if expected[1].is_finite() {
            assert_eq!(solidities[number].1, Some(expected[1]), "solidity of {}", region.id);
        }
        for (ours, expected) in quantiles[number].1.iter().zip(expected.iter().skip(2)) {
            assert_abs_diff_eq!(ours, expected, epsilon = 1e-9);
        }
        let [major, middle, _] = region.axis_lengths;
        if major > 1.001 * middle {
            for (ours, expected) in region.axes[0].iter().zip(expected.iter().skip(7)) {
                assert_abs_diff_eq!(ours, expected, epsilon = 1e-6);
            }
        }
    }
}

#[test]
fn solidities_of_objects_of_all_shapes_are_scikit_images() {
    let map: Array3<f32> = fixture("map");
    let labels = components(map.mapv(|value| value > 0.6).view(), Connectivity::Six).unwrap();
    let ours = solidities(labels.ids());
    let expected: Array2<f64> = fixture("wide_solidities");
    for expected in expected.rows() {
        let (id, solidity) = ours[expected[0] as usize - 1];
        assert_eq!((f64::from(id), solidity), (expected[0], Some(expected[1])));
    }
}

#[test]
fn neighbours_and_densities_are_those_of_scipys_tree() {
    let ids: Array3<u32> = fixture("regions_ids");
    let expected: Array2<f64> = fixture("region_neighbours");
    let regions = regions(ids.view(), None, spacing()).unwrap();
    let neighbours = nearest_neighbours(&regions, 3);
    let densities = local_densities(&regions, 4.0).unwrap();
    let ball = 4.0 / 3.0 * std::f64::consts::PI * 64.0;
    for ((found, density), expected) in neighbours.iter().zip(densities).zip(expected.rows()) {
        assert_eq!(found.len(), 3);
        for (place, neighbour) in found.iter().enumerate() {
            assert_abs_diff_eq!(neighbour.distance, expected[place], epsilon = 1e-9);
            assert_eq!(neighbour.id, expected[3 + place] as u32);
        }
        assert_abs_diff_eq!(density * ball, expected[6], epsilon = 1e-9);
    }
}

#[test]
fn the_full_table_has_every_measurement_in_its_column() {
    let (ids, image): (Array3<u32>, Array3<f32>) = (fixture("regions_ids"), fixture("regions_image"));
    let table = full_region_table(ids.view(), Some(image.view()), spacing()).unwrap();
    let expected: Array2<f64> = fixture("more_regions");
    let column = |name: &str| table.header.iter().position(|header| *header == name).expect(name);
    assert_eq!(table.rows.len(), expected.nrows());
    for (row, expected) in table.rows.iter().zip(expected.rows()) {
        assert_eq!(row.len(), table.header.len());
        let number = |name: &str| match &row[column(name)] {
            cellseg_post::Cell::Number(value) => *value,
            other => panic!("{name} is {other:?}"),
        };
        assert!(number("solidity") == expected[1] || expected[1].is_infinite());
        assert_abs_diff_eq!(number("intensity_median"), expected[4], epsilon = 1e-9);
        let polar = number("axis_major_polar_degrees").to_radians();
        assert_abs_diff_eq!(polar.cos(), number("axis_major_z"), epsilon = 1e-12);
        let azimuth = number("axis_major_azimuth_degrees").to_radians();
        assert_abs_diff_eq!(azimuth.sin() * polar.sin(), number("axis_major_y"), epsilon = 1e-12);
        assert_abs_diff_eq!(azimuth.cos() * polar.sin(), number("axis_major_x"), epsilon = 1e-12);
    }
    let empty = Array3::<u32>::zeros((2, 3, 4));
    assert!(full_region_table(empty.view(), None, spacing()).unwrap().rows.is_empty());
}
