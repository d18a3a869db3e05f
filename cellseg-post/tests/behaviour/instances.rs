use cellseg_post::{
    Criterion, InstanceOptions, Labels, MaximaRule, Method, OtsuRule, Overlaps, Spacing, Threshold,
    VoronoiOtsu, WatershedSeeds, instances, threshold_seeds, typical_diameter, voronoi_otsu,
};
use ndarray::Array3;

const RADIUS: f64 = 6.0;

/// Two touching rows of balls of 12 um, in voxels of 2 x 1 x 1 um, and a lone voxel of dust.
struct Balls {
    truth: Array3<u32>,
    map: Array3<f32>,
    spacing: Spacing,
}

impl Balls {
    fn new() -> Self {
        let centres: Vec<[f64; 3]> = (0..6)
            .map(|n| {
                [14.0 + 11.0 * f64::from(n / 3), 14.0 + 0.5 * f64::from(n), 12.0 + 10.5 * f64::from(n % 3)]
            })
            .collect();
        let distance = |(z, y, x): (usize, usize, usize), c: &[f64; 3]| {
            ((2.0 * z as f64 - c[0]).powi(2) + (y as f64 - c[1]).powi(2) + (x as f64 - c[2]).powi(2)).sqrt()
        };
        let shape = (20, 32, 48);
        let nearest = |at| {
            let all = centres.iter().enumerate().map(|(n, centre)| (distance(at, centre), n as u32 + 1));
            all.reduce(|best, other| if other.0 < best.0 { other } else { best }).unwrap()
        };
        let truth =
            Array3::from_shape_fn(shape, |at| if nearest(at).0 <= RADIUS { nearest(at).1 } else { 0 });
        let mut map =
            Array3::from_shape_fn(shape, |at| (1.0 / (1.0 + (2.0 * (nearest(at).0 - RADIUS)).exp())) as f32);
        map[[1, 1, 1]] = 5.0;
        Self { truth, map, spacing: Spacing::new(2.0, 1.0, 1.0).unwrap() }
    }

    fn f1(&self, labels: &Labels) -> f64 {
        Overlaps::count(self.truth.view(), labels.ids()).unwrap().matching(&[0.7], Criterion::Iou).unwrap()[0]
            .f1
    }

    fn segment(&self, map: &Array3<f32>, options: InstanceOptions) -> Labels {
        instances(map.view(), self.spacing, &options).unwrap()
    }
}

fn method(method: Method) -> InstanceOptions {
    InstanceOptions { method, ..Default::default() }
}

#[test]
fn touching_balls_come_apart_at_their_true_proportions_and_dust_goes() {
    let balls = Balls::new();
    for way in [Method::Peaks, Method::VoronoiOtsu, Method::Watershed(WatershedSeeds::Shape)] {
        let labels = balls.segment(&balls.map, method(way));
        assert_eq!((labels.count(), balls.f1(&labels)), (6, 1.0), "{way:?}");
    }
    let joined = balls.segment(&balls.map, method(Method::Components));
    assert_eq!(joined.count(), 1, "components do not split");
}

#[test]
fn a_thresholded_map_is_split_as_well() {
    let balls = Balls::new();
    let binary = balls.map.mapv(|value| f32::from(u8::from(value > 0.5)));
    for way in [Method::Peaks, Method::VoronoiOtsu, Method::Watershed(WatershedSeeds::Shape)] {
        let labels = balls.segment(&binary, method(way));
        assert_eq!((labels.count(), balls.f1(&labels)), (6, 1.0), "{way:?}");
    }
}

#[test]
fn the_scale_of_the_values_does_not_matter() {
    let balls = Balls::new();
    for way in
        [Method::Peaks, Method::VoronoiOtsu, Method::Watershed(WatershedSeeds::Shape), Method::Components]
    {
        // A power of two, so that no bit of the values is lost.
        let bright = balls.segment(&balls.map.mapv(|value| value * 1024.0), method(way));
        assert_eq!(bright, balls.segment(&balls.map, method(way)));
    }
}

#[test]
fn the_unit_of_length_does_not_matter() {
    let balls = Balls::new();
    let nanometres = Spacing::new(2048.0, 1024.0, 1024.0).unwrap();
    for way in [Method::Peaks, Method::VoronoiOtsu, Method::Watershed(WatershedSeeds::Shape)] {
        let labels = instances(balls.map.view(), nanometres, &method(way)).unwrap();
        assert_eq!(labels, balls.segment(&balls.map, method(way)));
    }
}

#[test]
fn the_diameter_is_estimated_from_touching_objects() {
    let balls = Balls::new();
    let diameter = typical_diameter(balls.truth.mapv(|id| id != 0).view(), balls.spacing).unwrap();
    assert!((diameter / (2.0 * RADIUS) - 1.0).abs() < 0.15, "{diameter}");
}

#[test]
fn volume_limits_are_cubic_micrometres() {
    let balls = Balls::new();
    let dust =
        InstanceOptions { min_volume: Some(0.0), outline_sigma: Some(0.0), ..method(Method::Components) };
    assert_eq!(balls.segment(&balls.map, dust.clone()).count(), 2);
    // The lone voxel has 2 cubic micrometres.
    assert_eq!(
        balls.segment(&balls.map, InstanceOptions { min_volume: Some(2.0), ..dust.clone() }).count(),
        2
    );
    assert_eq!(
        balls.segment(&balls.map, InstanceOptions { min_volume: Some(2.1), ..dust.clone() }).count(),
        1
    );
    assert_eq!(balls.segment(&balls.map, InstanceOptions { max_volume: Some(2.0), ..dust }).count(), 1);
}

#[test]
fn cellseg3ds_watershed_starts_at_bright_cores() {
    let balls = Balls::new();
    let seeds = WatershedSeeds::Cores { threshold: 0.95, min_voxels: 3 };
    let options = InstanceOptions {
        threshold: Threshold::Fixed(0.5),
        outline_sigma: Some(0.0),
        min_volume: Some(0.0),
        ..method(Method::Watershed(seeds))
    };
    let labels = balls.segment(&balls.map, options);
    let cores = threshold_seeds(balls.map.view(), 0.95, 3).unwrap();
    assert_eq!((labels.count(), cores.count()), (6, 6), "the bright speck is too small for a seed");
    assert_eq!(balls.f1(&labels), 1.0);
}

#[test]
fn plateaus_have_one_maximum_by_the_default_rule_none_by_the_strict_and_a_first_voxel_in_the_scan() {
    let mut map = Array3::<f32>::zeros((5, 7, 15));
    // Two cubes, joined by a bridge, all of one value; the blur is too small to reach their middles.
    map.slice_mut(ndarray::s![1..4, 2..5, 2..5]).fill(1.0);
    map.slice_mut(ndarray::s![1..4, 2..5, 10..13]).fill(1.0);
    map[[2, 3, 7]] = 0.6;
    map.slice_mut(ndarray::s![2, 3, 5..10]).fill(0.6);
    let count = |maxima| {
        let settings = VoronoiOtsu {
            spot_sigma: 0.0,
            outline_sigma: 0.0,
            threshold: Threshold::Otsu(OtsuRule::Clesperanto),
            maxima,
        };
        voronoi_otsu(map.view(), Spacing::VOXELS, &settings).unwrap().count()
    };
    assert_eq!(count(MaximaRule::Plateau), 2);
    assert_eq!(count(MaximaRule::FirstInScan), 2);
    assert_eq!(
        count(MaximaRule::Strict),
        1,
        "without a maximum the two cubes and the bridge stay one object"
    );
}

#[test]
fn a_map_of_two_clear_classes_is_divided_as_by_voronoi_otsu_and_dim_nuclei_of_a_raw_image_are_found() {
    // Nine balls, each dimmer than the one before.
    let raw = Array3::from_shape_fn((20, 60, 60), |(z, y, x)| {
        let (row, column) = (y / 20, x / 20);
        let place = [z as f32 - 10.0, (y % 20) as f32 - 10.0, (x % 20) as f32 - 10.0];
        let distance = place.iter().map(|part| part * part).sum::<f32>().sqrt();
        let brightness = 1000.0 * 0.85f32.powi((3 * row + column) as i32);
        100.0 + ((z * 31 + y * 17 + x * 13) % 23) as f32 + brightness / (1.0 + (2.0 * (distance - 5.5)).exp())
    });
    let clear = raw.mapv(|value| if value > 150.0 { 0.9 + 1e-5 * value } else { 0.05 });
    let find = |map: &Array3<f32>, way| instances(map.view(), Spacing::VOXELS, &method(way)).unwrap();
    assert_eq!(find(&clear, Method::Peaks), find(&clear, Method::VoronoiOtsu));
    let labels = find(&raw, Method::Peaks);
    assert_eq!(labels.count(), 9);
    let ball = std::f64::consts::PI / 6.0 * 11f64.powi(3);
    for (id, &voxels) in labels.sizes().iter().enumerate().skip(1) {
        let ratio = voxels as f64 / ball;
        assert!((0.6..2.0).contains(&ratio), "object {id} has {voxels} voxels, {ratio} of its ball");
    }
}

/// Balls of a radius of 6 voxels and brightness 200 at (z, y, x), blurred, on a background with noise.
fn raw_balls(centres: &[[f32; 3]], background: impl Fn([usize; 3]) -> f32) -> Array3<f32> {
    Array3::from_shape_fn((24, 48, 72), |(z, y, x)| {
        let nearest = centres.iter().map(|c| {
            ((z as f32 - c[0]).powi(2) + (y as f32 - c[1]).powi(2) + (x as f32 - c[2]).powi(2)).sqrt()
        });
        let distance = nearest.fold(f32::INFINITY, f32::min);
        let noise = ((z * 31 + y * 17 + x * 13) % 23) as f32;
        noise + background([z, y, x]) + 200.0 / (1.0 + (1.5 * (distance - 6.0)).exp())
    })
}

const APART: [[f32; 3]; 4] = [[12.0, 12.0, 12.0], [12.0, 34.0, 14.0], [12.0, 12.0, 50.0], [12.0, 34.0, 52.0]];

#[test]
fn a_wall_between_nuclei_is_no_object_and_no_part_of_one() {
    let wall = |[_, y, _]: [usize; 3]| if y == 23 { 300.0 } else { 0.0 };
    let labels = instances(raw_balls(&APART, wall).view(), Spacing::VOXELS, &method(Method::Peaks)).unwrap();
    assert_eq!(labels.count(), 4);
    assert!(labels.ids().indexed_iter().all(|((_, y, _), id)| *id == 0 || y != 23));
}

#[test]
fn the_texture_of_a_nucleus_does_not_split_it() {
    // Stripes of a tenth of the brightness, wider than the blur.
    let mut raw = raw_balls(&APART, |_| 0.0);
    raw.indexed_iter_mut().for_each(|((_, _, x), value)| *value *= 1.0 + 0.1 * (x as f32 * 0.9).sin());
    assert_eq!(instances(raw.view(), Spacing::VOXELS, &method(Method::Peaks)).unwrap().count(), 4);
}
