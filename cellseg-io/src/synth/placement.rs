//! Where the nuclei are: random sequential placement with contacts.

use super::ellipsoid::{Nucleus, difference};
use super::options::SynthOptions;
use super::random::{Stage, Stream};
use crate::{Error, Result};

/// Tries at each way of placing a nucleus before the volume counts as full.
const ATTEMPTS: usize = 2000;

/// A nucleus that is not put against another keeps this [separation](Nucleus::separation) from all.
const LONE_SEPARATION: f64 = 1.15;

/// Places all nuclei, in the order of their random numbers.
///
/// Each nucleus is drawn at random and put either against an earlier one, chosen at random, from a random
/// direction, or on its own at a random place. Where it would come closer to any other than the compression
/// allows, it is drawn again; after many tries it may be placed in the other of the two ways.
pub(super) fn place(options: &SynthOptions) -> Result<Vec<Nucleus>> {
    if options.nuclei == 0 {
        // Nothing says that the size of nuclei makes sense, then.
        return Ok(Vec::new());
    }
    let mut stream = Stream::new(options.seed, Stage::Placement, 0);
    let mut placed = Neighbourhood::new(options);
    while placed.nuclei.len() < options.nuclei {
        let clustered = stream.uniform() < options.clustering;
        let nucleus = draw(options, &mut stream, &placed, clustered)
            .or_else(|| draw(options, &mut stream, &placed, !clustered))
            .ok_or_else(|| crowded(placed.nuclei.len(), options.nuclei))?;
        placed.add(nucleus);
    }
    Ok(placed.nuclei)
}

fn crowded(placed: usize, wanted: usize) -> Error {
    Error::Argument(format!(
        "only {placed} of {wanted} nuclei found room; ask for fewer or smaller ones, a larger volume, or more \
         `compression`"
    ))
}

/// A nucleus that fits in among the others, or `None` after too many tries.
fn draw(
    options: &SynthOptions,
    stream: &mut Stream,
    placed: &Neighbourhood,
    clustered: bool,
) -> Option<Nucleus> {
    if clustered && placed.nuclei.is_empty() {
        return None;
    }
    let closest = 1.0 - options.compression;
    (0..ATTEMPTS).find_map(|_| {
        let mut nucleus = Nucleus {
            centre_um: [0.0; 3],
            semi_axes_um: std::array::from_fn(|_| stream.uniform_in(options.semi_axes_um)),
            axes: stream.rotation(),
            brightness: stream.uniform_in(options.brightness),
        };
        if clustered {
            let host = &placed.nuclei[stream.index(placed.nuclei.len())];
            let direction = stream.direction();
            // A hair more than the limit, so that rounding does not make the host itself too close.
            let distance = host.contact_distance_um(&nucleus, direction) * closest * (1.0 + 1e-9);
            nucleus.centre_um = std::array::from_fn(|i| host.centre_um[i] + direction[i] * distance);
        } else {
            nucleus.centre_um = std::array::from_fn(|i| {
                (options.shape[i] as f64 * stream.uniform() - 0.5) * options.spacing_um[i]
            });
        }
        let needed = if clustered { closest } else { LONE_SEPARATION };
        (inside(options, nucleus.centre_um) && placed.has_room(&nucleus, needed)).then_some(nucleus)
    })
}

fn inside(options: &SynthOptions, point_um: [f64; 3]) -> bool {
    (0..3).all(|i| {
        let index = point_um[i] / options.spacing_um[i];
        (-0.5..options.shape[i] as f64 - 0.5).contains(&index)
    })
}

/// The nuclei placed so far, in a grid of cells so large that only adjacent cells can hold neighbours.
struct Neighbourhood {
    nuclei: Vec<Nucleus>,
    cells: Vec<Vec<u32>>,
    cell_um: f64,
    grid: [usize; 3],
}

impl Neighbourhood {
    fn new(options: &SynthOptions) -> Self {
        let cell_um = 2.0 * options.semi_axes_um[1] * LONE_SEPARATION;
        let grid =
            std::array::from_fn(|i| (options.shape[i] as f64 * options.spacing_um[i] / cell_um) as usize + 2);
        let cells = vec![Vec::new(); grid.iter().product()];
        Self { nuclei: Vec::new(), cells, cell_um, grid }
    }

    /// The cell of a point, which may lie up to half a voxel before the origin.
    fn cell(&self, point_um: [f64; 3]) -> [usize; 3] {
        std::array::from_fn(|i| ((point_um[i] / self.cell_um + 0.5) as usize).min(self.grid[i] - 1))
    }

    fn flat(&self, [z, y, x]: [usize; 3]) -> usize {
        (z * self.grid[1] + y) * self.grid[2] + x
    }

    fn add(&mut self, nucleus: Nucleus) {
        let cell = self.flat(self.cell(nucleus.centre_um));
        self.cells[cell].push(self.nuclei.len() as u32);
        self.nuclei.push(nucleus);
    }

    /// Whether a nucleus keeps the given separation from all others.
    fn has_room(&self, nucleus: &Nucleus, needed: f64) -> bool {
        let cell = self.cell(nucleus.centre_um);
        let around = |i: usize| cell[i].saturating_sub(1)..=(cell[i] + 1).min(self.grid[i] - 1);
        around(0).all(|z| {
            around(1).all(|y| {
                around(2).all(|x| {
                    let near = &self.cells[self.flat([z, y, x])];
                    near.iter().all(|&n| keeps_separation(nucleus, &self.nuclei[n as usize], needed))
                })
            })
        })
    }
}

fn keeps_separation(a: &Nucleus, b: &Nucleus, needed: f64) -> bool {
    // The spheres around and inside the ellipsoids decide most cases without the search for the maximum.
    let distance = difference(a.centre_um, b.centre_um).iter().map(|d| d * d).sum::<f64>().sqrt();
    let sum = |pick: fn(f64, f64) -> f64, start: f64| {
        a.semi_axes_um.iter().copied().fold(start, pick) + b.semi_axes_um.iter().copied().fold(start, pick)
    };
    if distance >= needed * sum(f64::max, 0.0) {
        return true;
    }
    distance >= needed * sum(f64::min, f64::INFINITY) && a.separation(b) >= needed
}
