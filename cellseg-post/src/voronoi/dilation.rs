//! Growing seeds as clesperanto does: by alternating dilations.

use rayon::prelude::*;

use crate::Connectivity;
use crate::grid::{Grid, Neighbourhood};

/// Grows `ids` over the voxels of `inside`, in rounds that reach 26 and 6 neighbours in turn, until a round changes
/// nothing; a voxel takes the highest id around it.
///
/// As `masked_voronoi_labeling` of CLIc. Because it stops at the first round without a change, voxels that only a corner
/// connects may stay 0.
pub(crate) fn grow_by_dilations(grid: Grid, ids: &mut [u32], inside: &[bool]) {
    let hoods = [Connectivity::TwentySix, Connectivity::Six].map(|reach| Neighbourhood::new(grid, reach));
    let mut waiting: Vec<usize> = (0..ids.len()).filter(|&at| inside[at] && ids[at] == 0).collect();
    for hood in hoods.iter().cycle() {
        let reached: Vec<u32> = waiting
            .par_iter()
            .with_min_len(1 << 10)
            .map(|&at| {
                let mut highest = 0;
                hood.all(at, |other| {
                    highest = highest.max(ids[other]);
                    true
                });
                highest
            })
            .collect();
        let before = waiting.len();
        waiting.iter().zip(&reached).for_each(|(&at, &id)| ids[at] = id);
        waiting.retain(|&at| ids[at] == 0);
        if waiting.len() == before {
            break;
        }
    }
}
