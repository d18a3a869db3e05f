//! The flood of one component of the mask, in a box of its own.

use super::Map;
use super::front::Front;
use crate::Connectivity;
use crate::bodies::{BodyRun, BoxGrid};
use crate::grid::{Around, Jumps};

/// Marks voxels of the box that no flood enters; 0 are those that none has reached.
const OUTSIDE: u32 = u32::MAX;

/// Room to flood components, used again and again.
pub(super) struct Basin {
    connectivity: Connectivity,
    /// For each voxel of the box [`OUTSIDE`], 0 or one more than the place of its seed in `names`.
    labels: Vec<u32>,
    heights: Vec<f32>,
    next: Vec<u32>,
    names: Vec<u32>,
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
            next: Vec::new(),
            names: Vec::new(),
            places: Vec::new(),
            front: Front::default(),
        }
    }

    /// Floods the component of these runs, in raster order; false if there is no seed in it.
    pub(super) fn flood(&mut self, map: &Map, runs: &[BodyRun]) -> bool {
        let jumps = self.fill(map, runs);
        if self.names.is_empty() {
            return false;
        }
        let Self { labels, heights, next, front, places, .. } = self;
        let along = |(run, &place): (&BodyRun, &u32)| place as usize..place as usize + run.len();
        let voxels = || runs.iter().zip(&*places).flat_map(along);
        let mut queue = front.over(heights, next, voxels().map(|at| heights[at]));
        for at in voxels().filter(|&at| labels[at] != 0) {
            queue.push(at as u32, heights[at]);
        }
        while let Some((at, level)) = queue.pop() {
            let label = labels[at as usize];
            jumps.each(at as usize, |other| {
                if labels[other] == 0 {
                    labels[other] = label;
                    queue.push(other as u32, heights[other].max(level));
                }
            });
        }
        true
    }

    /// Copies the component into a box with a rim of outside voxels; returns the steps to the neighbours in it.
    fn fill(&mut self, map: &Map, runs: &[BodyRun]) -> Jumps {
        let padded = BoxGrid::around(map.grid, runs);
        let len = padded.len();
        self.labels.clear();
        self.labels.resize(len, OUTSIDE);
        self.heights.resize(self.heights.len().max(len), 0.0);
        self.next.resize(self.next.len().max(len), 0);
        self.names.clear();
        self.places.clear();
        for run in runs {
            let place = padded.place(run);
            self.places.push(place as u32);
            let voxels = run.voxels(map.grid);
            self.heights[place..place + run.len()].copy_from_slice(&map.heights[voxels.clone()]);
            for (label, &seed) in self.labels[place..].iter_mut().zip(&map.seeds[voxels]) {
                *label = 0;
                if seed != 0 {
                    self.names.push(seed);
                    *label = self.names.len() as u32;
                }
            }
        }
        padded.jumps(self.connectivity)
    }

    /// The labels of each run after the flood.
    pub(super) fn labels<'a>(&'a self, runs: &'a [BodyRun]) -> impl Iterator<Item = &'a [u32]> {
        runs.iter()
            .zip(&self.places)
            .map(|(run, &place)| &self.labels[place as usize..place as usize + run.len()])
    }

    /// Writes the seeds' ids for labels; 0 where no flood arrived.
    pub(super) fn name(&self, labels: &[u32], ids: &mut [u32]) {
        for (id, &label) in ids.iter_mut().zip(labels) {
            *id = if label == 0 { 0 } else { self.names[label as usize - 1] };
        }
    }
}
