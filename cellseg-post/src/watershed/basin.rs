//! The flood of one component of the mask, in a box of its own.

use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering::Relaxed;

use super::front::Front;
use super::seed_order::SeedOrder;
use super::{FREE, Map, pour, shared};
use crate::Connectivity;
use crate::bodies::{BodyRun, BoxGrid};

/// Room to flood components, used again and again.
pub(super) struct Basin {
    connectivity: Connectivity,
    /// For each voxel of the box the place of its seed in `names`, or [`FREE`]; 0 outside the component.
    labels: Vec<u32>,
    heights: Vec<f32>,
    names: Vec<u32>,
    /// Where each seed lies in the box.
    seeds: Vec<u32>,
    /// Where each run begins in the box.
    places: Vec<u32>,
    front: Front,
}

impl Basin {
    pub(super) fn new(connectivity: Connectivity) -> Self {
        Self {
            connectivity,
            labels: Vec::new(),
            heights: Vec::new(),
            names: Vec::new(),
            seeds: Vec::new(),
            places: Vec::new(),
            front: Front::default(),
        }
    }

    /// Floods the component of these runs, in raster order, and writes the seeds' ids.
    pub(super) fn flood(&mut self, map: &Map, runs: &[BodyRun], order: &SeedOrder, ids: &[AtomicU32]) {
        let padded = BoxGrid::around(map.grid, runs);
        self.fill(map, runs, &padded);
        let Self { labels, heights, names, seeds, places, front, .. } = self;
        order.sort(seeds, |&place| {
            let [z, y, x] = padded.position(place as usize);
            (z * map.grid.ny + y) * map.grid.nx + x
        });
        let along = |(run, &place): (&BodyRun, &u32)| place as usize..place as usize + run.len();
        let mut queue = front.over(heights, runs.iter().zip(&*places).map(|run| &heights[along(run)]));
        seeds.iter().for_each(|&seed| queue.push(seed));
        let labels = shared(labels);
        pour(queue, labels, &padded.jumps(self.connectivity), |_| ());
        for (run, place) in runs.iter().zip(places) {
            for (id, label) in ids[run.voxels(map.grid)].iter().zip(&labels[along((run, place))]) {
                let label = label.load(Relaxed);
                id.store(if label == FREE { 0 } else { names[label as usize] }, Relaxed);
            }
        }
    }

    /// Copies the component into a box with a rim of outside voxels.
    fn fill(&mut self, map: &Map, runs: &[BodyRun], padded: &BoxGrid) {
        let len = padded.len();
        self.labels.clear();
        self.labels.resize(len, 0);
        self.heights.resize(self.heights.len().max(len), 0.0);
        self.names.clear();
        self.seeds.clear();
        self.places.clear();
        for run in runs {
            let place = padded.place(run);
            self.places.push(place as u32);
            let voxels = run.voxels(map.grid);
            self.heights[place..place + run.len()].copy_from_slice(&map.heights[voxels.clone()]);
            for ((place, label), &seed) in
                (place as u32..).zip(&mut self.labels[place..]).zip(&map.seeds[voxels])
            {
                *label = FREE;
                if seed != 0 {
                    *label = self.names.len() as u32;
                    self.names.push(seed);
                    self.seeds.push(place);
                }
            }
        }
    }
}
