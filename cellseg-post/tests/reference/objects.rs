use approx::assert_relative_eq;
use cellseg_post::{
    Cell, Connectivity, Flood, SeedTies, Spacing, cellseg3d_table, components, fill_holes, persistent_peaks,
    regions, relabel_sequential, watershed, watershed_with,
};
use ndarray::{Array2, Array3};

use super::fixture;

const CONNECTIVITIES: [(Connectivity, u32); 3] =
    [(Connectivity::Six, 6), (Connectivity::Eighteen, 18), (Connectivity::TwentySix, 26)];

#[test]
fn components_and_their_numbers_are_scipys() {
    let mask: Array3<bool> = fixture("mask");
    for (connectivity, name) in CONNECTIVITIES {
        let expected: Array3<u32> = fixture(&format!("components_{name}"));
        let labels = components(mask.view(), connectivity).unwrap();
        assert_eq!(labels.ids(), expected, "{name}-connected");
        assert_eq!(Some(&labels.count()), expected.iter().max());
    }
}

#[test]
fn watershed_is_scikit_images_where_no_two_voxels_are_equal() {
    let map: Array3<f32> = fixture("map");
    let seeds: Array3<u32> = fixture("watershed_seeds");
    let mask = map.mapv(|value| value < 0.62);
    for (connectivity, name) in CONNECTIVITIES {
        let expected: Array3<u32> = fixture(&format!("watershed_{name}"));
        let ids = watershed(map.view(), seeds.view(), mask.view(), connectivity).unwrap();
        assert_eq!(ids, expected, "{name}-connected");
    }
}

#[test]
fn watershed_in_scikit_images_order_is_scikit_images_among_equal_seeds_compact_and_with_lines() {
    let landscape: Array3<f32> = fixture("terrace");
    let seeds: Array3<u32> = fixture("terrace_seeds");
    let mask: Array3<bool> = fixture("terrace_mask");
    let flood =
        |connectivity, compactness, line| Flood { connectivity, compactness, line, ties: SeedTies::Skimage };
    let cases = [
        ("6", flood(Connectivity::Six, 0.0, false)),
        ("26", flood(Connectivity::TwentySix, 0.0, false)),
        ("compact", flood(Connectivity::Six, 0.7, false)),
        ("very_compact", flood(Connectivity::Eighteen, 100.0, false)),
        ("line", flood(Connectivity::Six, 0.0, true)),
        ("compact_line", flood(Connectivity::TwentySix, 0.3, true)),
    ];
    for (name, flood) in cases {
        let expected: Array3<u8> = fixture(&format!("terrace_{name}"));
        let ids = watershed_with(landscape.view(), seeds.view(), mask.view(), &flood).unwrap();
        let differing =
            ids.iter().zip(&expected).filter(|(ours, theirs)| **ours != u32::from(**theirs)).count();
        assert_eq!(differing, 0, "{name}");
    }
}

#[test]
fn holes_are_filled_as_scipy_fills_them() {
    let shell: Array3<bool> = fixture("shell");
    let filled = fill_holes(shell.view()).unwrap();
    assert_ne!(filled, shell);
    assert_eq!(filled, fixture::<bool, ndarray::Ix3>("shell_filled"));
}

#[test]
fn peaks_of_persistence_h_are_as_many_as_scikit_images_h_maxima() {
    let map: Array3<f32> = fixture("map");
    let mut sorted = map.clone().into_raw_vec_and_offset().0;
    sorted.sort_by(f32::total_cmp);
    let ranks = map.mapv(|value| sorted.partition_point(|&other| other < value) as f32);
    let everywhere = ranks.mapv(|_| true);
    for row in fixture::<u32, ndarray::Ix2>("h_maxima").rows() {
        let (h, expected) = (row[0] as f32, row[1] as usize);
        let peaks = persistent_peaks(ranks.view(), everywhere.view(), h, Connectivity::TwentySix).unwrap();
        assert_eq!(peaks.len(), expected, "h = {h}");
    }
}

#[test]
fn regions_measure_what_scikit_images_regionprops_do() {
    let ids: Array3<u32> = fixture("regions_ids");
    let image: Array3<f32> = fixture("regions_image");
    let expected: Array2<f64> = fixture("regions");
    let spacing = Spacing::new(2.5, 1.0, 0.7).unwrap();
    let regions = regions(ids.view(), Some(image.view()), spacing).unwrap();
    assert_eq!(regions.len(), expected.nrows());
    for (region, expected) in regions.iter().zip(expected.rows()) {
        let intensity = region.intensity.unwrap();
        let mut ours = vec![f64::from(region.id), region.voxels as f64, region.volume];
        ours.extend(region.centroid);
        ours.extend(region.bounding_box.iter().map(|range| range.start as f64));
        ours.extend(region.bounding_box.iter().map(|range| range.end as f64));
        ours.extend([region.axis_lengths[0], region.axis_lengths[2], region.equivalent_diameter]);
        ours.extend([intensity.mean, f64::from(intensity.min), f64::from(intensity.max), intensity.std]);
        ours.extend(intensity.weighted_centroid.unwrap());
        assert_eq!(ours.len(), expected.len());
        for (column, (ours, expected)) in ours.iter().zip(expected).enumerate() {
            // scikit-image leaves rounding residues where an object has no extent.
            assert_relative_eq!(ours, expected, max_relative = 1e-9, epsilon = 2e-7);
            assert!(ours.is_finite(), "column {column} of object {}", region.id);
        }
    }
}

#[test]
fn sequential_ids_and_their_origins_are_scikit_images() {
    let ids: Array3<u32> = fixture("regions_ids");
    let relabelled = relabel_sequential(ids.view());
    assert_eq!(relabelled.ids, fixture::<u32, ndarray::Ix3>("relabelled"));
    assert_eq!(relabelled.old_ids, fixture::<u32, ndarray::Ix1>("relabelled_old_ids").to_vec());
}

#[test]
fn cellseg3ds_columns_hold_what_its_formulas_give() {
    let ids: Array3<u32> = fixture("regions_ids");
    let expected: Array2<f64> = fixture("cellseg3d");
    let table = cellseg3d_table(ids.view()).unwrap();
    assert_eq!(
        table.header.join(", "),
        "Volume, Centroid x, Centroid y, Centroid z, Sphericity (axes), Image size, Total image volume, \
         Total object volume (pixels), Filling ratio, Number objects"
    );
    assert_eq!(table.rows.len(), expected.nrows());
    let mut undefined = 0;
    for (row, expected) in table.rows.iter().zip(expected.rows()) {
        assert_eq!(row[0], Cell::Count(expected[0] as u64));
        for (cell, expected) in row[1..5].iter().zip(expected.iter().skip(1)) {
            match cell {
                Cell::Number(value) => assert_relative_eq!(*value, *expected, max_relative = 1e-9),
                Cell::Empty => {
                    assert!(expected.is_nan());
                    undefined += 1;
                }
                other => panic!("{other:?} is no number"),
            }
        }
    }
    assert_eq!(undefined, expected.iter().filter(|value| value.is_nan()).count());
    let foreground = ids.iter().filter(|&&id| id != 0).count() as u64;
    assert_eq!(
        table.rows[0][5..],
        [
            Cell::Text("(14, 20, 23)".into()),
            Cell::Count(14 * 20 * 23),
            Cell::Count(foreground),
            Cell::Number(foreground as f64 / (14.0 * 20.0 * 23.0)),
            Cell::Count(expected.nrows() as u64),
        ]
    );
    assert!(table.rows[1..].iter().all(|row| row[5..].iter().all(|cell| *cell == Cell::Empty)));
}
