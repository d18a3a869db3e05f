//! Who is near whom: distances between the centroids of objects.

use rayon::prelude::*;
use rustc_hash::FxHashMap;

use super::Region;
use crate::Error;

/// Another object and how far its centroid is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Neighbour {
    /// The other object's id.
    pub id: u32,
    /// The distance of the centroids in micrometres.
    pub distance: f64,
}

/// The `count` objects nearest to each one by their centroids, nearest first; of equally near ones the lower id first.
///
/// One entry for each region, in their order. Where there are fewer other objects, all of them.
pub fn nearest_neighbours(regions: &[Region], count: usize) -> Vec<Vec<Neighbour>> {
    let count = count.min(regions.len().saturating_sub(1));
    let crowd = Crowd::new(regions, None);
    regions
        .par_iter()
        .enumerate()
        .map(|(me, region)| {
            let mut found: Vec<Neighbour> = Vec::new();
            let mut rings = 0;
            // Whatever lies beyond the rings looked at has at least `rings - 1` whole cells in between.
            while found.len() < count
                || count > 0
                    && rings < crowd.most_rings
                    && found[count - 1].distance >= (rings - 1) as f64 * crowd.side
            {
                crowd.ring(region.centroid, rings, |other| {
                    if other != me {
                        let distance = distance(region, &regions[other]);
                        found.push(Neighbour { id: regions[other].id, distance });
                    }
                });
                found.sort_unstable_by(|a, b| a.distance.total_cmp(&b.distance).then(a.id.cmp(&b.id)));
                rings += 1;
            }
            found.truncate(count);
            found
        })
        .collect()
}

/// For each region how many other centroids lie within `radius` micrometres of its own, per cubic micrometre.
///
/// The ball is not cut where the volume ends, so densities fall towards its border.
///
/// # Errors
/// [`Error::Argument`] if the radius is not a finite number above 0.
pub fn local_densities(regions: &[Region], radius: f64) -> Result<Vec<f64>, Error> {
    if !(radius.is_finite() && radius > 0.0) {
        return Err(Error::Argument {
            name: "the radius in micrometres",
            given: radius.to_string(),
            expected: "a finite number above 0",
        });
    }
    let crowd = Crowd::new(regions, Some(radius));
    let ball = 4.0 / 3.0 * std::f64::consts::PI * radius.powi(3);
    let density = |(me, region): (usize, &Region)| {
        let mut near = 0;
        for ring in 0..2 {
            crowd.ring(region.centroid, ring, |other| {
                near += usize::from(other != me && distance(region, &regions[other]) <= radius);
            });
        }
        near as f64 / ball
    };
    Ok(regions.par_iter().enumerate().map(density).collect())
}

fn distance(a: &Region, b: &Region) -> f64 {
    (0..3).map(|axis| (a.centroid[axis] - b.centroid[axis]).powi(2)).sum::<f64>().sqrt()
}

/// Centroids sorted into cubic cells.
struct Crowd {
    side: f64,
    first: [i64; 3],
    last: [i64; 3],
    most_rings: i64,
    cells: FxHashMap<[i64; 3], Vec<usize>>,
}

impl Crowd {
    /// With cells of `side` micrometres, or about two centroids each.
    fn new(regions: &[Region], side: Option<f64>) -> Self {
        let mut low = [f64::INFINITY; 3];
        let mut high = [f64::NEG_INFINITY; 3];
        for region in regions {
            for axis in 0..3 {
                low[axis] = low[axis].min(region.centroid[axis]);
                high[axis] = high[axis].max(region.centroid[axis]);
            }
        }
        let longest = (0..3).map(|axis| high[axis] - low[axis]).fold(0.0, f64::max);
        // Flat crowds have cells for the plane or the line that they fill.
        let even = (0..3).map(|axis| (high[axis] - low[axis]).max(longest / 1000.0)).product::<f64>()
            / regions.len().max(1) as f64
            * 2.0;
        let side = side.unwrap_or_else(|| even.cbrt());
        let side = if side.is_finite() && side > 0.0 { side } else { 1.0 };
        let mut crowd =
            Self { side, first: [0; 3], last: [0; 3], most_rings: 0, cells: FxHashMap::default() };
        for (number, region) in regions.iter().enumerate() {
            crowd.cells.entry(crowd.cell(region.centroid)).or_default().push(number);
        }
        if !regions.is_empty() {
            (crowd.first, crowd.last) = (crowd.cell(low), crowd.cell(high));
        }
        crowd.most_rings =
            (0..3).map(|axis| crowd.last[axis] - crowd.first[axis] + 1).max().unwrap_or_default();
        crowd
    }

    fn cell(&self, place: [f64; 3]) -> [i64; 3] {
        place.map(|length| (length / self.side).floor() as i64)
    }

    /// Calls `found` with each centroid in the cells that are `ring` cells away from that of `place` along some axis and
    /// no more along the others.
    fn ring(&self, place: [f64; 3], ring: i64, mut found: impl FnMut(usize)) {
        let centre = self.cell(place);
        let range = |axis: usize| {
            let low = (centre[axis] - ring).max(self.first[axis]);
            low..=(centre[axis] + ring).min(self.last[axis])
        };
        for z in range(0) {
            for y in range(1) {
                for x in range(2) {
                    let cell = [z, y, x];
                    let away = (0..3).map(|axis| (cell[axis] - centre[axis]).abs()).max();
                    if away == Some(ring) {
                        self.cells.get(&cell).into_iter().flatten().for_each(|&number| found(number));
                    }
                }
            }
        }
    }
}
