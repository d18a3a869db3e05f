//! The grid's axis of brightness.

use rayon::prelude::*;

use crate::Error;

/// Bins this far apart do not reach each other in the blur, so longer gaps between bins that occur are cut short.
pub(super) const REACH: usize = 6;

/// How many bins the brightness of an image may span.
const MOST_BINS: f64 = 65_536.0;

/// Brightness as a bin and a share of the next one.
pub(super) struct Brightness {
    low: f32,
    per_unit: f32,
    /// The bin on the grid of each bin of the whole range.
    ///
    /// A few very bright voxels would make most of the range empty; what no voxel needs is left out.
    on_grid: Vec<u32>,
}

impl Brightness {
    pub(super) fn new(image: &[f32], bin_width: f64) -> Result<Self, Error> {
        let range = |image: &[f32]| {
            image.iter().fold((f32::INFINITY, f32::NEG_INFINITY), |(low, high), &value| {
                (if value < low { value } else { low }, if value > high { value } else { high })
            })
        };
        let (low, high) = image.par_chunks(1 << 16).map(range).reduce(
            || range(&[]),
            |a, b| (if b.0 < a.0 { b.0 } else { a.0 }, if b.1 > a.1 { b.1 } else { a.1 }),
        );
        let bins = (f64::from(high) - f64::from(low)) / bin_width;
        if bins > MOST_BINS {
            return Err(Error::Argument {
                name: "intensity_sigma",
                given: format!("so small that the image's range from {low} to {high} has {bins:.0} bins"),
                expected: "a larger sigma: at most 65536 bins, of which 1.5 make a sigma",
            });
        }
        let mut scale = Self { low, per_unit: (1.0 / bin_width) as f32, on_grid: Vec::new() };
        let bins = bins as usize + 3;
        let occurring = image
            .par_chunks(1 << 20)
            .map(|part| {
                let mut occurring = vec![false; bins];
                part.iter().for_each(|&value| occurring[scale.bin(value).0] = true);
                occurring
            })
            .reduce(
                || vec![false; bins],
                |mut a, b| {
                    a.iter_mut().zip(b).for_each(|(a, b)| *a |= b);
                    a
                },
            );
        scale.on_grid = without_gaps(&occurring);
        Ok(scale)
    }

    /// The number of bins on the grid.
    pub(super) fn bins(&self) -> usize {
        self.on_grid.last().map_or(0, |&last| last as usize + 1)
    }

    /// The bin of a brightness on the grid, and the share that belongs to the next one.
    #[inline(always)]
    pub(super) fn place(&self, value: f32) -> (usize, f32) {
        let (bin, share) = self.bin(value);
        (self.on_grid[bin] as usize, share)
    }

    #[inline(always)]
    fn bin(&self, value: f32) -> (usize, f32) {
        let position = (value - self.low) * self.per_unit;
        let bin = position as u32;
        (bin as usize, position - bin as f32)
    }
}

/// The place of each bin when gaps between bins that are needed are cut to [`REACH`]; a bin needs the next one as well.
fn without_gaps(occurring: &[bool]) -> Vec<u32> {
    let needed = |bin: usize| occurring[bin] || bin > 0 && occurring[bin - 1];
    let (mut next, mut gap) = (0, 0);
    (0..occurring.len())
        .map(|bin| {
            gap = if needed(bin) { 0 } else { gap + 1 };
            if bin > 0 && gap <= REACH {
                next += 1;
            }
            next
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gaps_are_cut_to_what_the_blur_reaches() {
        let mut occurring = vec![false; 30];
        (occurring[0], occurring[20], occurring[22]) = (true, true, true);
        let places = without_gaps(&occurring);
        // Bins 0 and 1 are needed, six of the gap stay, then 20 to 23.
        assert_eq!(places[..10], [0, 1, 2, 3, 4, 5, 6, 7, 7, 7]);
        assert_eq!(places[19..24], [7, 8, 9, 10, 11]);
    }

    #[test]
    fn one_very_bright_voxel_does_not_make_the_grid_long() {
        let mut image: Vec<f32> = (0..100).map(|value| value as f32).collect();
        image.push(60_000.0);
        let brightness = Brightness::new(&image, 5.0).unwrap();
        assert!(brightness.bins() < 40, "{}", brightness.bins());
        assert_eq!(brightness.place(12.5), (2, 0.5));
        let (bright, share) = brightness.place(60_000.0);
        assert!(bright > 21 && bright + 1 < brightness.bins() && share < 1e-3);
    }
}
