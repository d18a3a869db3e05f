//! Structuring elements as rows along x.

use crate::{Error, Spacing};

/// Elements may reach this many voxels from their centre.
const MOST: usize = 1 << 10;

/// The neighbourhood that morphology looks at; symmetric about its centre.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Element {
    /// The box of so many voxels (z, y, x) to both sides.
    Box([usize; 3]),
    /// The voxels whose centres are within a radius.
    Ball {
        /// The radius in micrometres.
        radius: f64,
        /// The voxels' size.
        spacing: Spacing,
    },
}

/// The row (z, y), relative to the centre, from x = `-half` to `half`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Row {
    pub(super) z: isize,
    pub(super) y: isize,
    pub(super) half: usize,
}

impl Element {
    /// Refuses elements that are too large or no size at all.
    pub(super) fn check(self) -> Result<Self, Error> {
        let (reach, name, given) = match self {
            Self::Box(radius) => {
                let reach = radius.into_iter().max().unwrap_or_default();
                (reach as f64, "the box's radius (z, y, x) in voxels", format!("{radius:?}"))
            }
            Self::Ball { radius, spacing } => {
                (radius / spacing.finest(), "the ball's radius in micrometres", radius.to_string())
            }
        };
        if (0.0..=MOST as f64).contains(&reach) {
            Ok(self)
        } else {
            Err(Error::Argument { name, given, expected: "at least 0 and at most 1024 voxels" })
        }
    }

    /// The rows of a ball; a box is taken axis by axis instead.
    pub(super) fn rows_of_ball(radius: f64, spacing: Spacing) -> Vec<Row> {
        let [dz, dy, dx] = spacing.to_array();
        // A hair more, so that voxels exactly on the sphere are in it whatever the rounding.
        let squared = radius * radius * (1.0 + 1e-9);
        let reach = |side: f64, left: f64| (left.max(0.0).sqrt() / side).floor() as isize;
        let mut rows = Vec::new();
        for z in -reach(dz, squared)..=reach(dz, squared) {
            let left = squared - (z as f64 * dz).powi(2);
            for y in -reach(dy, left)..=reach(dy, left) {
                let half = reach(dx, left - (y as f64 * dy).powi(2)) as usize;
                rows.push(Row { z, y, half });
            }
        }
        rows
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rows_of_a_ball_are_the_voxels_within_its_radius() {
        let spacing = Spacing::new(2.0, 1.0, 0.5).unwrap();
        for radius in [0.0, 0.5, 1.0, 2.0, 3.3] {
            let rows = Element::rows_of_ball(radius, spacing);
            let mut expected = Vec::new();
            for z in -2..=2isize {
                for y in -4..=4isize {
                    let within = |x: isize| {
                        let squares = (2 * z).pow(2) as f64 + y.pow(2) as f64 + (0.5 * x as f64).powi(2);
                        squares <= radius * radius + 1e-9
                    };
                    if within(0) {
                        let half = (0..20).take_while(|&x| within(x)).count() - 1;
                        expected.push(Row { z, y, half });
                    }
                }
            }
            assert_eq!(rows, expected, "radius {radius}");
        }
    }
}
