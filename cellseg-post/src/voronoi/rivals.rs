//! The nearest of a component's seeds, exactly.
//!
//! If a run's voxels are at most r from seed h, any seed that is nearer to one of them is at most 2 r from h. Each seed
//! voxel knows its neighbours by rising distance, and the owner of the voxel in the row before is a good h, so a run looks
//! at a handful of seeds. Where h is far, a walk over neighbours leads to a nearer one. Where a component has too many seed
//! voxels for such lists, or a run lies too far from all, the rows of seed voxels within r are searched.

use rayon::prelude::*;

use super::SeedVoxel;
use crate::Spacing;
use crate::components::{Bodies, Slab};
use crate::labels::FirstSeen;
use crate::runs::Run;

/// A component with so few seed voxels is searched through.
const FEW: usize = 8;

/// A component with more seed voxels gets no lists of neighbours.
const MANY: usize = 1 << 16;

/// A list holds the neighbours within so many radii of a ball of the component's volume for each seed voxel.
const REACH: f64 = 4.0;

/// A list holds at most so many neighbours.
const LONGEST: usize = 96;

/// The seeds of each component of the mask.
pub(super) struct Rivals {
    sides: [f64; 3],
    seed_count: u32,
    /// Where the seed voxels of each component begin in `voxels`; component `n` is entry `n - 1`.
    first: Vec<usize>,
    /// The seed voxels by component, those of one in raster order.
    voxels: Vec<SeedVoxel>,
    /// For each seed voxel of a component its neighbours, if the component has lists.
    neighbours: Vec<Vec<Neighbours>>,
}

/// The neighbours of a seed voxel by rising distance.
struct Neighbours {
    /// Squared distances and places.
    list: Vec<(f64, u32)>,
    /// All that are nearer than the root of this are in the list.
    complete: f64,
}

impl Rivals {
    /// Sorts seed voxels, which come in raster order and each lie in a component, by component.
    pub(super) fn new(bodies: &Bodies, seeds: Vec<SeedVoxel>, seed_count: u32, spacing: Spacing) -> Self {
        let homes = bodies.homes(seeds.iter().map(|seed| (seed.z as usize, seed.y as usize, seed.x)));
        let mut first = vec![0usize; bodies.count as usize + 1];
        homes.iter().for_each(|&body| first[body as usize] += 1);
        let mut total = 0;
        for entry in &mut first {
            total += std::mem::replace(entry, total);
        }
        let mut place = first.clone();
        let mut voxels = seeds.clone();
        for (seed, body) in seeds.into_iter().zip(homes) {
            voxels[place[body as usize]] = seed;
            place[body as usize] += 1;
        }
        first.remove(0);
        first.push(total);
        let mut rivals =
            Self { sides: spacing.to_array(), seed_count, first, voxels, neighbours: Vec::new() };
        let sizes = bodies.sizes();
        rivals.neighbours = (1..=bodies.count)
            .into_par_iter()
            .map(|body| rivals.neighbours_in(body, sizes[body as usize]))
            .collect();
        rivals
    }

    /// The range of places of a component's seed voxels.
    fn of(&self, body: u32) -> std::ops::Range<usize> {
        self.first[body as usize - 1]..self.first[body as usize]
    }

    fn neighbours_in(&self, body: u32, size: u64) -> Vec<Neighbours> {
        let range = self.of(body);
        let seeds = &self.voxels[range.clone()];
        if seeds.len() <= FEW || seeds.len() > MANY {
            return Vec::new();
        }
        let share = size as f64 * self.sides.iter().product::<f64>() / seeds.len() as f64;
        let reach = REACH * (share * 0.75 / std::f64::consts::PI).cbrt();
        let complete = reach * reach;
        let [planes, rows] = [self.sides[0], self.sides[1]].map(|side| (reach / side) as u32 + 1);
        let of_seed = |seed: &SeedVoxel| {
            let from = seeds.partition_point(|other| other.z + planes < seed.z);
            let to = seeds.partition_point(|other| other.z <= seed.z + planes);
            let places = (range.start + from) as u32..;
            let mut list: Vec<(f64, u32)> = seeds[from..to]
                .iter()
                .zip(places)
                .filter(|(other, _)| other.y.abs_diff(seed.y) <= rows)
                .map(|(other, place)| (self.squared_distance(seed, other), place))
                .filter(|(distance, _)| *distance <= complete)
                .collect();
            list.sort_unstable_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
            let complete = list.get(LONGEST).map_or(complete, |(distance, _)| *distance);
            list.truncate(LONGEST);
            Neighbours { list, complete }
        };
        seeds.par_iter().map(of_seed).collect()
    }

    fn squared_distance(&self, a: &SeedVoxel, b: &SeedVoxel) -> f64 {
        let [z, y, x] = self.sides;
        square(a.z, b.z, z) + square(a.y, b.y, y) + square(a.x, b.x, x)
    }

    /// Writes the owners of a slab's voxels; components without a seed are numbered behind the seeds.
    pub(super) fn divide(&self, bodies: &Bodies, slab: &Slab, voxels: &mut [u32], most: u32) -> FirstSeen {
        let grid = bodies.grid;
        let numbers = bodies.numbers(slab);
        let mut seen = FirstSeen::new(most);
        let mut near = Vec::new();
        // The place of the seed that owned the voxel of each column seen last.
        let mut owners = vec![0u32; grid.nx];
        for (row, line) in voxels.chunks_exact_mut(grid.nx).enumerate() {
            let (z, y) = ((slab.planes.start + row / grid.ny) as u32, (row % grid.ny) as u32);
            for number in slab.runs.row(row) {
                let (start, end) = slab.runs.list[number];
                let body = numbers[number];
                let run = &mut line[start as usize..end as usize];
                let seeds = self.of(body);
                match seeds.len() {
                    0 => run.fill(self.seed_count + body),
                    1 => run.fill(self.voxels[seeds.start].id),
                    _ => {
                        let owners = &mut owners[start as usize..end as usize];
                        let hint = owners[owners.len() / 2] as usize;
                        let hint = if seeds.contains(&hint) { hint } else { seeds.start };
                        self.find_near(body, hint, (z, y, (start, end)), &mut near);
                        nearest_of(&near, self.sides[2], start, run, owners);
                    }
                }
                seen.row(run);
            }
        }
        seen
    }

    /// Finds the seed voxels that can be the nearest of any voxel of a run, in raster order.
    fn find_near(&self, body: u32, hint: usize, at: (u32, u32, Run), near: &mut Vec<Near>) {
        near.clear();
        let range = self.of(body);
        let lists = &self.neighbours[body as usize - 1];
        let listed = |hint: usize| lists.get(hint - range.start);
        // A hair more than 2 r, for the rounding of roots.
        let twice = |bound: f64| 4.0 * bound * (1.0 + 1e-9);
        let known = |hint: usize, bound: f64| listed(hint).is_some_and(|list| twice(bound) < list.complete);
        let (mut hint, mut bound) = (hint, self.approach(hint, at).furthest);
        if !lists.is_empty() && !known(hint, bound) {
            (hint, bound) = self.descend(lists, range.start, hint, at);
        }
        let mut consider = |place: usize, bound: &mut f64| {
            let approach = self.approach(place, at);
            if approach.nearest <= *bound {
                *bound = bound.min(approach.furthest);
                near.push(approach);
            }
        };
        if range.len() <= FEW {
            range.for_each(|place| consider(place, &mut bound));
        } else if let Some(neighbours) = listed(hint).filter(|list| twice(bound) < list.complete) {
            let twice = twice(bound);
            for &(_, place) in neighbours.list.iter().take_while(|(distance, _)| *distance <= twice) {
                consider(place as usize, &mut bound);
            }
        } else {
            self.search_rows(range, (at.0, at.1), &mut bound, consider);
        }
        near.retain(|approach| approach.nearest <= bound);
        near.sort_unstable_by_key(|approach| approach.place);
    }

    /// Walks from seed to seed, each time to the listed neighbour nearest to the run, while that comes nearer; returns the
    /// last one and how far the run's voxels are from it at most, squared.
    fn descend(&self, lists: &[Neighbours], first: usize, hint: usize, at: (u32, u32, Run)) -> (usize, f64) {
        let mut best = (hint, self.approach(hint, at).furthest);
        loop {
            let here = best;
            for &(_, place) in &lists[here.0 - first].list {
                let furthest = self.approach(place as usize, at).furthest;
                if furthest < best.1 {
                    best = (place as usize, furthest);
                }
            }
            if best.0 == here.0 {
                return best;
            }
        }
    }

    /// Considers all seed voxels whose planes and rows are within the root of `bound`.
    fn search_rows(
        &self,
        range: std::ops::Range<usize>,
        (z, y): (u32, u32),
        bound: &mut f64,
        mut consider: impl FnMut(usize, &mut f64),
    ) {
        let seeds = &self.voxels[range.clone()];
        let reach = |side: f64| (bound.sqrt() / side) as u32 + 1;
        let (dz, dy) = (reach(self.sides[0]), reach(self.sides[1]));
        let mut from = seeds.partition_point(|seed| seed.z < z.saturating_sub(dz));
        while let Some(plane) =
            seeds.get(from).map(|seed| seed.z).filter(|&plane| plane <= z.saturating_add(dz))
        {
            let first_row = (plane, y.saturating_sub(dy));
            from += seeds[from..].partition_point(|seed| (seed.z, seed.y) < first_row);
            while let Some(seed) = seeds.get(from).filter(|seed| seed.z == plane) {
                if seed.y > y.saturating_add(dy) {
                    from += seeds[from..].partition_point(|seed| seed.z == plane);
                    break;
                }
                consider(range.start + from, bound);
                from += 1;
            }
        }
    }

    #[inline]
    fn approach(&self, place: usize, (z, y, (start, end)): (u32, u32, Run)) -> Near {
        let seed = self.voxels[place];
        let [side_z, side_y, side_x] = self.sides;
        let across = square(z, seed.z, side_z) + square(y, seed.y, side_y);
        let inside = seed.x.clamp(start, end - 1);
        let ends = square(start, seed.x, side_x).max(square(end - 1, seed.x, side_x));
        Near {
            place: place as u32,
            id: seed.id,
            x: seed.x,
            across,
            nearest: across + square(inside, seed.x, side_x),
            furthest: across + ends,
        }
    }
}

#[inline]
fn square(a: u32, b: u32, side: f64) -> f64 {
    let length = side * f64::from(a.abs_diff(b));
    length * length
}

/// A seed voxel as seen from a run; distances are squared.
struct Near {
    /// Its place among all seed voxels.
    place: u32,
    id: u32,
    x: u32,
    /// From the run's row.
    across: f64,
    /// From the run's nearest voxel.
    nearest: f64,
    /// From the run's furthest voxel.
    furthest: f64,
}

/// Writes the id and the place of the nearest seed voxel, the first of equally near ones, for each voxel of a run.
fn nearest_of(near: &[Near], side: f64, start: u32, run: &mut [u32], owners: &mut [u32]) {
    if let [only] = near {
        run.fill(only.id);
        owners.fill(only.place);
        return;
    }
    for ((x, id), owner) in (start..).zip(run).zip(owners) {
        let mut best = f64::INFINITY;
        for seed in near {
            let distance = seed.across + square(x, seed.x, side);
            if distance < best {
                (best, *id, *owner) = (distance, seed.id, seed.place);
            }
        }
    }
}
