use cellseg_post::{
    Connectivity, Counted, DenseCrf, InstanceOptions, Labels, Method, Overlaps, Spacing, WatershedSeeds,
    components_of_ids, contacts, dense_crf_foreground, distance_transform, distance_transform_of_ids,
    fill_holes, gaussian, instances, li, multi_otsu, otsu, persistent_peaks, regions, seed_volume,
    surface_areas, watershed,
};
use ndarray::Array3;

/// A volume of balls with a ripple, large enough that work is split.
fn balls() -> Array3<f32> {
    Array3::from_shape_fn((36, 70, 75), |(z, y, x)| {
        let nearest = |c: usize, step: f32| {
            let off = (c as f32 + step / 2.0) % step - step / 2.0;
            off * off
        };
        let distance = (4.0 * nearest(z, 9.0) + nearest(y, 16.0) + nearest(x, 14.0)).sqrt();
        let ripple = ((z * 31 + y * 17 + x * 13) % 97) as f32 / 97.0;
        1.0 / (1.0 + (distance - 6.0).exp()) + 0.05 * ripple
    })
}

pub(super) fn on_threads<T: Send>(threads: usize, work: impl FnOnce() -> T + Send) -> T {
    rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap().install(work)
}

#[test]
fn results_have_the_same_bits_on_any_number_of_threads() {
    let map = balls();
    let spacing = Spacing::new(2.0, 1.0, 1.0).unwrap();
    let everything = || {
        let methods = [
            Method::Peaks,
            Method::VoronoiOtsu,
            Method::Watershed(WatershedSeeds::Shape),
            Method::Components,
        ];
        let labels: Vec<Labels> = methods
            .into_iter()
            .map(|method| {
                let options = InstanceOptions { method, ..Default::default() };
                instances(map.view(), spacing, &options).unwrap()
            })
            .collect();
        let blurred = gaussian(map.view(), [1.5, 2.0, 3.0]).unwrap().mapv(f32::to_bits);
        let threshold = otsu(map.view(), Default::default()).unwrap();
        let mask = map.mapv(|value| value > threshold);
        let distance = distance_transform(mask.view(), spacing).mapv(f32::to_bits);
        let table = format!("{:?}", regions(labels[0].ids(), Some(map.view()), spacing).unwrap());
        (labels, blurred, threshold.to_bits(), distance, table)
    };
    let more = || {
        let mask = map.mapv(|value| value > 0.3);
        let peaks = persistent_peaks(map.view(), mask.view(), 0.02, Connectivity::TwentySix).unwrap();
        let seeds = seed_volume(&peaks, [36, 70, 75]).unwrap();
        let flooded =
            watershed(map.mapv(|value| -value).view(), seeds.view(), mask.view(), Connectivity::Six).unwrap();
        let pieces = components_of_ids(flooded.view(), Connectivity::Eighteen).unwrap();
        let areas: Vec<(u32, u64)> = surface_areas(flooded.view(), spacing)
            .into_iter()
            .map(|(id, area)| (id, area.to_bits()))
            .collect();
        let touching = format!("{:?}", contacts(flooded.view(), spacing));
        let scores =
            Overlaps::count(seeds.view(), flooded.view()).unwrap().variation_of_information(Counted::All);
        let thresholds = (li(map.view()).unwrap().to_bits(), multi_otsu(map.view(), 3).unwrap());
        let holes = fill_holes(mask.mapv(|inside| !inside).view()).unwrap();
        let settings = DenseCrf { appearance_sigma: 4.0, ..DenseCrf::default() };
        let probability = map.mapv(|value| value.clamp(0.0, 1.0));
        let refined = dense_crf_foreground(probability.view(), map.view(), spacing, &settings).unwrap();
        let inside = distance_transform_of_ids(flooded.view(), spacing);
        let values = (thresholds, refined.mapv(f32::to_bits), inside.mapv(f32::to_bits));
        (format!("{peaks:?}"), pieces, areas, touching, format!("{scores:?}"), values, holes)
    };
    let (one, one_more) = (on_threads(1, everything), on_threads(1, more));
    assert!(one.0[0].count() > 20, "there are balls to tell apart");
    assert!(one_more.1.count() > 20 && one_more.3.len() > 20, "they touch");
    for threads in [2, 7] {
        assert!(one == on_threads(threads, everything), "{threads} threads");
        assert!(one_more == on_threads(threads, more), "{threads} threads");
    }
}

#[test]
fn views_in_another_order_give_what_their_copies_give() {
    let map = balls();
    let spacing = Spacing::new(1.0, 2.0, 1.0).unwrap();
    let mut view = map.view().permuted_axes([1, 0, 2]);
    view.invert_axis(ndarray::Axis(2));
    let copy = view.as_standard_layout().to_owned();
    let options = InstanceOptions::default();
    let labels = instances(view, spacing, &options).unwrap();
    assert_eq!(labels, instances(copy.view(), spacing, &options).unwrap());
    let turned = labels.ids().reversed_axes();
    assert_eq!(
        distance_transform_of_ids(turned, spacing),
        distance_transform_of_ids(turned.as_standard_layout().view(), spacing)
    );
    assert_eq!(
        regions(labels.ids(), Some(view), spacing).unwrap(),
        regions(labels.ids(), Some(copy.view()), spacing).unwrap()
    );
}
