use cellseg_post::{Cell, Spacing, cellseg3d_table, region_table, regions};
use ndarray::{Array3, s};

fn two_boxes() -> Array3<u32> {
    let mut ids = Array3::zeros((6, 8, 10));
    ids.slice_mut(s![1..3, 2..6, 3..9]).fill(7);
    ids.slice_mut(s![4..6, 0..1, 0..1]).fill(u32::MAX);
    ids
}

#[test]
fn every_row_has_a_cell_for_each_column() {
    let ids = two_boxes();
    let image = ids.mapv(|id| id as f32);
    let with = region_table(&regions(ids.view(), Some(image.view()), Spacing::VOXELS).unwrap());
    let without = region_table(&regions(ids.view(), None, Spacing::VOXELS).unwrap());
    for table in [&with, &without, &cellseg3d_table(ids.view()).unwrap()] {
        assert_eq!(table.rows.len(), 2);
        assert!(table.rows.iter().all(|row| row.len() == table.header.len()));
    }
    assert_eq!(with.header[..without.header.len()], without.header);
    assert!(with.header.contains(&"intensity_mean") && !without.header.contains(&"intensity_mean"));
}

#[test]
fn regions_are_in_physical_units_and_know_the_border() {
    let spacing = Spacing::new(3.0, 1.0, 0.5).unwrap();
    let regions = regions(two_boxes().view(), None, spacing).unwrap();
    let (inside, cut) = (&regions[0], &regions[1]);
    assert_eq!((inside.id, inside.voxels, inside.volume), (7, 48, 72.0));
    assert_eq!(inside.centroid_voxels, [1.5, 3.5, 5.5]);
    assert_eq!(inside.centroid, [4.5, 3.5, 2.75]);
    assert_eq!(inside.bounding_box, [1..3, 2..6, 3..9]);
    assert!(!inside.touches_border && cut.touches_border);
    assert_eq!((cut.id, cut.voxels, cut.sphericity), (u32::MAX, 2, None));
}

#[test]
fn a_ball_is_a_ball_at_any_spacing() {
    let spacing = Spacing::new(2.5, 1.0, 0.5).unwrap();
    let ids = Array3::from_shape_fn((19, 44, 84), |(z, y, x)| {
        let [z, y, x] = [(z as f64 - 9.0) * 2.5, y as f64 - 21.0, (x as f64 - 41.0) * 0.5];
        u32::from(z * z + y * y + x * x <= 400.0)
    });
    let ball = &regions(ids.view(), None, spacing).unwrap()[0];
    assert!((ball.equivalent_diameter / 40.0 - 1.0).abs() < 0.01);
    assert!(
        ball.axis_lengths.iter().all(|length| (length / 40.0 - 1.0).abs() < 0.02),
        "{:?}",
        ball.axis_lengths
    );
    assert!((ball.sphericity.unwrap() - 1.0).abs() < 1e-3);
}

#[test]
fn a_large_offset_does_not_eat_the_standard_deviation() {
    let ids = Array3::from_elem((20, 10, 10), 1);
    let image = Array3::from_shape_fn((20, 10, 10), |(_, _, x)| 1e6 + (x % 2) as f32);
    let intensity = regions(ids.view(), Some(image.view()), Spacing::VOXELS).unwrap()[0].intensity.unwrap();
    assert!((intensity.std - 0.5).abs() < 1e-9 && (intensity.mean - 1_000_000.5).abs() < 1e-6);
}

#[test]
fn the_whole_volumes_columns_stand_in_the_first_row_only() {
    let table = cellseg3d_table(two_boxes().view()).unwrap();
    assert_eq!(table.rows[0][5], Cell::Text("(6, 8, 10)".into()));
    assert_eq!(table.rows[0][9], Cell::Count(2));
    assert!(table.rows[1][5..].iter().all(|cell| *cell == Cell::Empty));
}
