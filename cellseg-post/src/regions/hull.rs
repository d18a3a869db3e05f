//! Convex hulls of objects, in whole numbers.
//!
//! An object's points are the middles of its voxels' faces, as scikit-image takes them, in half voxels: their coordinates
//! are integers, so whether a point sees a facet is known exactly. The hull grows point by point (a point outside replaces
//! all facets that it sees or lies in the plane of by a fan from their rim; no fan is flat, because the facets beyond the
//! rim are strictly out of its sight). Shares of the hull do not depend on the spacing.

use std::ops::Range;

use ndarray::{ArrayView3, s};
use rayon::prelude::*;
use rustc_hash::FxHashSet;

use super::bounding_boxes;

/// Objects longer than this many voxels along an axis have no solidity: products of coordinates would not fit 64 bits.
const LONGEST: usize = 1 << 18;

/// The solidity (convexity) of each object of a label volume (z, y, x), by rising id: its voxels over those whose centre
/// lies in its convex hull, 1 for convex objects.
///
/// As `solidity` of scikit-image, which has none for flat objects. `None` for objects longer than 262,144 voxels.
pub fn solidities(ids: ArrayView3<u32>) -> Vec<(u32, Option<f64>)> {
    bounding_boxes(ids)
        .into_par_iter()
        .map(|(id, [z, y, x])| {
            if [&z, &y, &x].iter().any(|range: &&Range<usize>| range.len() > LONGEST) {
                return (id, None);
            }
            let part = ids.slice(s![z, y, x]);
            let voxels = part.iter().filter(|&&other| other == id).count();
            let hull = Hull::around(face_middles(part, id));
            (id, Some(voxels as f64 / hull.voxels(part.dim()) as f64))
        })
        .collect()
}

type Point = [i64; 3];

/// The middles of the faces, in half voxels, of the first and the last voxel of each row of the object.
fn face_middles(part: ArrayView3<u32>, id: u32) -> Vec<Point> {
    let mut points = FxHashSet::default();
    for (z, plane) in part.outer_iter().enumerate() {
        for (y, row) in plane.outer_iter().enumerate() {
            let mut found = row.iter().enumerate().filter(|(_, other)| **other == id).map(|(x, _)| x);
            let Some(first) = found.next() else { continue };
            for x in [first, found.next_back().unwrap_or(first)] {
                let middle = [z, y, x].map(|index| 2 * index as i64);
                for axis in 0..3 {
                    for step in [-1, 1] {
                        let mut point = middle;
                        point[axis] += step;
                        points.insert(point);
                    }
                }
            }
        }
    }
    let mut points: Vec<Point> = points.into_iter().collect();
    points.sort_unstable();
    // A corner of the hull is a corner of the hull of its own plane: a fifth of the points.
    points.chunk_by(|a, b| a[0] == b[0]).flat_map(corners_in_plane).collect()
}

/// The corners of the convex hull of points of one plane that are sorted by y and x (Andrew's monotone chain).
fn corners_in_plane(points: &[Point]) -> Vec<Point> {
    let turns_left = |a: Point, b: Point, c: Point| cross(minus(b, a), minus(c, a))[0] > 0;
    let chain = |points: &mut dyn Iterator<Item = &Point>| {
        let mut corners: Vec<Point> = Vec::new();
        for &point in points {
            while let [.., a, b] = corners[..]
                && !turns_left(a, b, point)
            {
                corners.pop();
            }
            corners.push(point);
        }
        corners
    };
    let mut corners = chain(&mut points.iter());
    corners.extend(chain(&mut points.iter().rev()));
    corners.sort_unstable();
    corners.dedup();
    corners
}

/// A triangle of the hull and its plane: `normal . p <= offset` inside.
#[derive(Clone, Copy)]
struct Facet {
    corners: [u32; 3],
    normal: Point,
    offset: i64,
}

fn dot(a: Point, b: Point) -> i64 {
    a[0] * b[0] + a[1] * b[1] + a[2] * b[2]
}

fn minus(a: Point, b: Point) -> Point {
    [a[0] - b[0], a[1] - b[1], a[2] - b[2]]
}

fn cross(a: Point, b: Point) -> Point {
    [a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]]
}

struct Hull {
    facets: Vec<Facet>,
}

impl Hull {
    /// The hull of the face middles of at least one voxel, which never lie in one plane.
    fn around(points: Vec<Point>) -> Self {
        let facet = |corners: [u32; 3]| {
            let [a, b, c] = corners.map(|corner| points[corner as usize]);
            let normal = cross(minus(b, a), minus(c, a));
            Facet { corners, normal, offset: dot(normal, a) }
        };
        let mut hull = Self { facets: Vec::new() };
        let first = first_tetrahedron(&points);
        for left_out in 0..4 {
            let mut corners =
                [0, 1, 2, 3].into_iter().filter(|corner| *corner != left_out).map(|corner| first[corner]);
            let corners: [u32; 3] = std::array::from_fn(|_| corners.next().expect("three of four"));
            let one = facet(corners);
            let inside = dot(one.normal, points[first[left_out] as usize]) < one.offset;
            hull.facets.push(if inside { one } else { facet([corners[0], corners[2], corners[1]]) });
        }
        let mut edges = FxHashSet::default();
        for (number, &point) in (0u32..).zip(&points) {
            if hull.facets.iter().all(|facet| dot(facet.normal, point) <= facet.offset) {
                continue;
            }
            edges.clear();
            hull.facets.retain(|facet| {
                let hidden = dot(facet.normal, point) < facet.offset;
                if !hidden {
                    let [a, b, c] = facet.corners;
                    edges.extend([(a, b), (b, c), (c, a)]);
                }
                hidden
            });
            let mut rim: Vec<(u32, u32)> =
                edges.iter().copied().filter(|&(a, b)| !edges.contains(&(b, a))).collect();
            rim.sort_unstable();
            hull.facets.extend(rim.into_iter().map(|(a, b)| facet([a, b, number])));
        }
        hull
    }

    /// How many voxels of a box (z, y, x) have their centre in the hull or on it.
    fn voxels(&self, (nz, ny, nx): (usize, usize, usize)) -> u64 {
        let mut count = 0;
        for z in 0..nz as i64 {
            for y in 0..ny as i64 {
                let (mut first, mut last) = (0, nx as i64 - 1);
                for Facet { normal, offset, .. } in &self.facets {
                    // normal_x 2 x <= left
                    let left = offset - 2 * (normal[0] * z + normal[1] * y);
                    let slope = 2 * normal[2];
                    match slope {
                        0 if left < 0 => last = -1,
                        0 => {}
                        1.. => last = last.min(left.div_euclid(slope)),
                        // Rounded up: -((-left) / slope rounded down).
                        _ => first = first.max(-(left.div_euclid(-slope))),
                    }
                }
                count += (last - first + 1).max(0) as u64;
            }
        }
        count
    }
}

/// Four points that do not lie in one plane.
fn first_tetrahedron(points: &[Point]) -> [u32; 4] {
    let find = |wanted: &dyn Fn(Point) -> bool| {
        points.iter().position(|&point| wanted(point)).expect("a voxel's face middles fill space") as u32
    };
    let a = points[0];
    let second = find(&|point| point != a);
    let b = minus(points[second as usize], a);
    let third = find(&|point| cross(b, minus(point, a)) != [0; 3]);
    let normal = cross(b, minus(points[third as usize], a));
    let fourth = find(&|point| dot(normal, minus(point, a)) != 0);
    [0, second, third, fourth]
}
