use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};

use cellseg_post::{
    Connectivity, Flood, Labels, SeedTies, components, components_of_ids, fill_holes, relabel_sequential,
    watershed, watershed_with,
};
use ndarray::Array3;
use proptest::prelude::*;

use super::threads::on_threads;
use super::{mask, steps, volume};

type Voxel = (usize, usize, usize);

/// Neighbours in the order of scikit-image: faces, edges, corners, each in raster order.
fn neighbours((z, y, x): Voxel, shape: Voxel, connectivity: Connectivity) -> Vec<Voxel> {
    let reach = match connectivity {
        Connectivity::Six => 1,
        Connectivity::Eighteen => 2,
        Connectivity::TwentySix => 3,
    };
    let mut found = Vec::new();
    for differing in 1..=reach {
        for (dz, dy, dx) in (0..27).map(|n| (n / 9, n / 3 % 3, n % 3)) {
            let inside = (1..=shape.0).contains(&(z + dz))
                && (1..=shape.1).contains(&(y + dy))
                && (1..=shape.2).contains(&(x + dx));
            if inside && [dz, dy, dx].iter().filter(|d| **d != 1).count() == differing {
                found.push((z + dz - 1, y + dy - 1, x + dx - 1));
            }
        }
    }
    found
}

fn connectivity() -> impl Strategy<Value = Connectivity> {
    prop_oneof![Just(Connectivity::Six), Just(Connectivity::Eighteen), Just(Connectivity::TwentySix)]
}

fn components_by_flood_fill<T: Copy + Default + PartialEq>(
    mask: &Array3<T>,
    connectivity: Connectivity,
) -> Array3<u32> {
    let mut ids = Array3::zeros(mask.dim());
    let mut count = 0;
    for (start, _) in mask.indexed_iter().filter(|(_, inside)| **inside != T::default()) {
        if ids[start] != 0 {
            continue;
        }
        count += 1;
        ids[start] = count;
        let mut open = VecDeque::from([start]);
        while let Some(voxel) = open.pop_front() {
            for other in neighbours(voxel, mask.dim(), connectivity) {
                if mask[other] == mask[start] && ids[other] == 0 {
                    ids[other] = count;
                    open.push_back(other);
                }
            }
        }
    }
    ids
}

/// A voxel that waits to flood its neighbours: its level, its arrival, itself.
type Entry = (u32, u32, Voxel);

/// What the entries of a flood are taken from.
trait Queue: Default {
    fn push(&mut self, entry: Entry);
    fn pop(&mut self) -> Option<Entry>;
}

/// By level, arrival and raster order.
impl Queue for BinaryHeap<Reverse<Entry>> {
    fn push(&mut self, entry: Entry) {
        self.push(Reverse(entry));
    }

    fn pop(&mut self) -> Option<Entry> {
        self.pop().map(|Reverse(entry)| entry)
    }
}

/// By level and arrival, swap by swap as scikit-image's `heap_general.pxi` describes it.
#[derive(Default)]
struct SwappingHeap(Vec<Entry>);

impl SwappingHeap {
    fn smaller(&self, a: usize, b: usize) -> bool {
        (self.0[a].0, self.0[a].1) < (self.0[b].0, self.0[b].1)
    }
}

impl Queue for SwappingHeap {
    fn push(&mut self, entry: Entry) {
        self.0.push(entry);
        let mut child = self.0.len() - 1;
        while child > 0 && self.smaller(child, (child - 1) / 2) {
            self.0.swap(child, (child - 1) / 2);
            child = (child - 1) / 2;
        }
    }

    fn pop(&mut self) -> Option<Entry> {
        let last = self.0.len().checked_sub(1)?;
        self.0.swap(0, last);
        let first = self.0.pop();
        let mut place = 0;
        loop {
            let children = (2 * place + 1..2 * place + 3).filter(|&child| child < last);
            let smallest =
                children.fold(place, |best, child| if self.smaller(child, best) { child } else { best });
            if smallest == place {
                return first;
            }
            self.0.swap(place, smallest);
            place = smallest;
        }
    }
}

/// One flood of the whole volume, nothing else.
fn watershed_by_one_queue<Q: Queue>(
    landscape: &Array3<f32>,
    seeds: &Array3<u32>,
    mask: &Array3<bool>,
    connectivity: Connectivity,
) -> Array3<u32> {
    let mut ids = Array3::from_shape_fn(mask.dim(), |at| if mask[at] { seeds[at] } else { 0 });
    let level = |at: Voxel| (landscape[at] * 4.0) as u32;
    let mut queue = Q::default();
    ids.indexed_iter().filter(|(_, id)| **id != 0).for_each(|(at, _)| queue.push((level(at), 0, at)));
    let mut arrivals = 0;
    while let Some((high, _, voxel)) = queue.pop() {
        for other in neighbours(voxel, mask.dim(), connectivity) {
            if mask[other] && ids[other] == 0 {
                ids[other] = ids[voxel];
                arrivals += 1;
                queue.push((level(other).max(high), arrivals, other));
            }
        }
    }
    ids
}

/// Two stairs from corner to corner, each one component whose box is nearly the volume.
fn stairs() -> (Array3<f32>, Array3<u32>, Array3<bool>) {
    let side = 130;
    let mut mask = Array3::from_elem((side, side, side), false);
    for (step, above) in (0..side - 4).flat_map(|step| [(step, 0), (step, 3)]) {
        let (z, y, x) = (step, step, step + above);
        [(z, y, x), (z, y, x + 1), (z, y + 1, x + 1)].into_iter().for_each(|at| mask[at] = true);
    }
    let landscape = Array3::from_shape_fn(mask.dim(), |(z, y, x)| ((z * 7 + y * 5 + x * 3) % 11) as f32);
    let seeds = Array3::from_shape_fn(mask.dim(), |(z, y, x)| {
        if mask[(z, y, x)] && (z * 5 + y * 11 + x * 17) % 13 < 2 { (z % 9 + x % 4 + 1) as u32 } else { 0 }
    });
    (landscape, seeds, mask)
}

#[test]
fn components_that_span_the_volume_are_flooded_like_any_on_any_number_of_threads() {
    let (landscape, seeds, mask) = stairs();
    let connectivity = Connectivity::Six;
    assert_eq!(components(mask.view(), connectivity).unwrap().count(), 2);
    let raster =
        watershed_by_one_queue::<BinaryHeap<Reverse<Entry>>>(&landscape, &seeds, &mask, connectivity);
    let skimage = watershed_by_one_queue::<SwappingHeap>(&landscape, &seeds, &mask, connectivity);
    assert_ne!(raster, skimage, "equal seeds decide");
    for (ties, expected) in [(SeedTies::Raster, raster), (SeedTies::Skimage, skimage)] {
        let flood = Flood { connectivity, ties, ..Flood::default() };
        for threads in [1, 2, 7] {
            let ids = on_threads(threads, || {
                watershed_with(landscape.view(), seeds.view(), mask.view(), &flood).unwrap()
            });
            assert!(ids == expected, "{ties:?}, {threads} threads");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn components_are_those_of_a_flood_fill(
        mask in prop_oneof![mask(0.2, 9), mask(0.6, 9), mask(1.0, 3)],
        connectivity in connectivity(),
    ) {
        let labels = components(mask.view(), connectivity).unwrap();
        prop_assert_eq!(labels.ids(), components_by_flood_fill(&mask, connectivity));
    }

    #[test]
    fn components_of_ids_are_those_of_a_flood_fill_over_equal_ids(
        ids in prop_oneof![volume(0u32..3, 9), volume(1u32..4, 9), volume(prop_oneof![Just(0), Just(u32::MAX)], 9)],
        connectivity in connectivity(),
    ) {
        let labels = components_of_ids(ids.view(), connectivity).unwrap();
        prop_assert_eq!(labels.ids(), components_by_flood_fill(&ids, connectivity));
    }

    #[test]
    fn holes_are_the_background_that_a_flood_from_the_border_does_not_reach(mask in mask(0.75, 9)) {
        let filled = fill_holes(mask.view()).unwrap();
        let (nz, ny, nx) = mask.dim();
        let at_border = |(z, y, x): Voxel| z % nz.max(2).saturating_sub(1).max(1) == 0
            || y % ny.max(2).saturating_sub(1).max(1) == 0
            || x % nx.max(2).saturating_sub(1).max(1) == 0;
        let bodies = components_by_flood_fill(&mask.mapv(|inside| !inside), Connectivity::Six);
        let open: Vec<u32> = bodies.indexed_iter().filter(|(at, _)| at_border(*at)).map(|(_, id)| *id).collect();
        for (at, &inside) in filled.indexed_iter() {
            prop_assert_eq!(inside, mask[at] || !open.contains(&bodies[at]), "at {:?}", at);
        }
    }

    #[test]
    fn components_do_not_depend_on_where_slabs_are_cut(mask in mask(0.4, 6)) {
        // More than 16 planes are cut into slabs of several; stacking moves the cuts through the volume.
        let tall = ndarray::concatenate(ndarray::Axis(0), &vec![mask.view(); 7]).unwrap();
        let labels = components(tall.view(), Connectivity::TwentySix).unwrap();
        prop_assert_eq!(labels.ids(), components_by_flood_fill(&tall, Connectivity::TwentySix));
    }

    #[test]
    fn turning_the_volume_turns_the_components(mask in mask(0.3, 8), connectivity in connectivity()) {
        let labels = components(mask.view(), connectivity).unwrap();
        // A view that is not in raster order.
        let turned = components(mask.view().permuted_axes([2, 0, 1]), connectivity).unwrap();
        let back = turned.ids().permuted_axes([1, 2, 0]).to_owned();
        prop_assert_eq!(labels, Labels::from_ids(back.view()));
    }

    #[test]
    fn a_watershed_floods_like_one_queue_with_ties_in_raster_order_or_scikit_images(
        landscape in prop_oneof![steps(7), volume((0u32..1000).prop_map(|height| height as f32 / 4.0), 7), volume(Just(3.0), 7)],
        seed_at in prop::collection::vec(0u8..8, 343),
        closed in prop::collection::vec(0u8..5, 343),
        ids in prop_oneof![Just(343u32), 2u32..6],
        everywhere in prop::bool::ANY,
        connectivity in connectivity(),
    ) {
        let place = |(z, y, x): Voxel| z * 49 + y * 7 + x;
        // Few ids have several seeds each, many one each; the largest is the largest there is.
        let id = |at: Voxel| u32::MAX - place(at) as u32 % ids;
        let seeds =
            Array3::from_shape_fn(landscape.dim(), |at| if seed_at[place(at)] == 0 { id(at) } else { 0 });
        let mask = Array3::from_shape_fn(landscape.dim(), |at| everywhere || closed[place(at)] != 0);
        let ids = watershed(landscape.view(), seeds.view(), mask.view(), connectivity).unwrap();
        let expected =
            watershed_by_one_queue::<BinaryHeap<Reverse<Entry>>>(&landscape, &seeds, &mask, connectivity);
        prop_assert_eq!(ids, expected);
        let flood = Flood { connectivity, ties: SeedTies::Skimage, ..Flood::default() };
        let ids = watershed_with(landscape.view(), seeds.view(), mask.view(), &flood).unwrap();
        prop_assert_eq!(ids, watershed_by_one_queue::<SwappingHeap>(&landscape, &seeds, &mask, connectivity));
    }

    #[test]
    fn labels_are_numbered_by_their_first_voxels(ids in volume(prop_oneof![Just(0), Just(u32::MAX), 1u32..9], 6)) {
        let labels = Labels::from_ids(ids.view());
        let mut next = 1;
        let mut old = vec![0];
        for (&new, &id) in labels.ids().iter().zip(&ids) {
            prop_assert!(new <= next);
            if new == next {
                next += 1;
                old.push(id);
            }
            prop_assert_eq!(old[new as usize], id);
        }
        prop_assert_eq!(labels.count() + 1, next);
        prop_assert_eq!(labels.sizes().iter().sum::<u64>(), ids.len() as u64);
    }

    #[test]
    fn sequential_ids_keep_their_order(ids in volume(prop_oneof![Just(0), Just(u32::MAX), 1u32..9], 6)) {
        let relabelled = relabel_sequential(ids.view());
        prop_assert!(relabelled.old_ids.is_sorted());
        for (&new, &id) in relabelled.ids.iter().zip(&ids) {
            prop_assert_eq!(relabelled.old_ids[new as usize], id);
        }
    }

    #[test]
    fn size_filters_keep_what_is_in_range(mask in mask(0.3, 8), least in 1u64..6) {
        let labels = components(mask.view(), Connectivity::Six).unwrap();
        let sizes = labels.sizes();
        let kept = labels.clone().filter_voxels(least..=least + 2);
        for (&before, &after) in labels.ids().iter().zip(kept.ids()) {
            let size = sizes[before as usize];
            prop_assert_eq!(after != 0, before != 0 && size >= least && size <= least + 2);
        }
        prop_assert_eq!(Labels::from_ids(kept.ids()), kept, "numbers have no gaps");
    }
}
