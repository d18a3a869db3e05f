//! Turned, stretched and bent: smooth maps from a patch into its volume.

use super::Augmentation;
use cellseg_core::Rng;
use ndarray::{Array3, ArrayView3, ArrayViewMut3};

/// Where each voxel of a patch is read: in voxels `(z, y, x)` of the volume from the patch's first voxel on.
pub(crate) struct Deformation {
    places: Vec<[f32; 3]>,
    /// The first voxel, from the patch's first on, and the extents of the box that holds all that is read.
    origin: [isize; 3],
    extents: [usize; 3],
}

impl Deformation {
    /// One at random for a patch of `extents` voxels `(z, y, x)` that are `spacing` apart; none in the share of patches that
    /// stay straight.
    ///
    /// About the patch's middle a place `p`, a length, is read from `R S p + u(p)`: `R` turns about z, `S` stretches each axis,
    /// and `u` is a field of displacements, drawn on a coarse lattice and interpolated by cubic B-splines, which keep it smooth
    /// (Rueckert et al., IEEE Transactions on Medical Imaging 1999).
    pub(crate) fn random(
        settings: &Augmentation,
        extents: [usize; 3],
        spacing: [f64; 3],
        rng: &mut Rng,
    ) -> Option<Self> {
        let mut chosen = |most: f64| (rng.uniform() < settings.share) && most > 0.0;
        let [turns, stretches, bends] = [settings.turn, settings.stretch, settings.bend].map(&mut chosen);
        let mut within = |most: f64| (2.0 * rng.uniform() - 1.0) * most;
        let angle = within(if turns { settings.turn.to_radians() } else { 0.0 });
        let stretch = [(); 3].map(|()| 1.0 + within(if stretches { settings.stretch } else { 0.0 }));
        if !(turns || stretches || bends) {
            return None;
        }
        let (sin, cos) = angle.sin_cos();
        let field = bends.then(|| Field::random(settings, extents, spacing, rng));
        let middle = extents.map(|n| (n as f64 - 1.0) / 2.0);
        let mut places = Vec::with_capacity(extents.iter().product());
        for z in 0..extents[0] {
            for y in 0..extents[1] {
                for x in 0..extents[2] {
                    let at = [z, y, x];
                    let p: [f64; 3] =
                        std::array::from_fn(|i| (at[i] as f64 - middle[i]) * spacing[i] * stretch[i]);
                    let turned = [p[0], cos * p[1] - sin * p[2], sin * p[1] + cos * p[2]];
                    let u = field.as_ref().map_or([0.0; 3], |field| field.at(at));
                    places
                        .push(std::array::from_fn(|i| ((turned[i] + u[i]) / spacing[i] + middle[i]) as f32));
                }
            }
        }
        Some(Self::through(places))
    }

    fn through(places: Vec<[f32; 3]>) -> Self {
        let ends = |i: usize| {
            let along = places.iter().map(|p| p[i]);
            along.fold([f32::INFINITY, f32::NEG_INFINITY], |[a, b], v| [a.min(v), b.max(v)])
        };
        let ends = [0, 1, 2].map(ends);
        let origin = ends.map(|[low, _]| low.floor() as isize);
        // One more than the last place, as it is interpolated with the voxel behind it.
        let extents = std::array::from_fn(|i| (ends[i][1].floor() as isize + 2 - origin[i]) as usize);
        Deformation { places, origin, extents }
    }

    /// The box that is read: its first voxel, from the patch's first on, and its extents.
    pub(crate) fn reads(&self) -> ([isize; 3], [usize; 3]) {
        (self.origin, self.extents)
    }

    /// The image, interpolated linearly between the voxels of the box.
    pub(crate) fn image(&self, read: ArrayView3<'_, f32>, mut out: ArrayViewMut3<'_, f32>) {
        for (o, (low, part)) in out.iter_mut().zip(self.places.iter().map(|p| self.within(p))) {
            let mut sum = 0.0;
            for corner in 0..8usize {
                let far = [corner >> 2 & 1, corner >> 1 & 1, corner & 1];
                let weight: f32 = (0..3).map(|i| if far[i] == 1 { part[i] } else { 1.0 - part[i] }).product();
                sum += weight * read[[low[0] + far[0], low[1] + far[1], low[2] + far[2]]];
            }
            *o = sum;
        }
    }

    /// Labels, each from the nearest voxel of the box.
    pub(crate) fn labels<T: Copy>(&self, read: ArrayView3<'_, T>, mut out: ArrayViewMut3<'_, T>) {
        for (o, (low, part)) in out.iter_mut().zip(self.places.iter().map(|p| self.within(p))) {
            *o = read[std::array::from_fn::<_, 3, _>(|i| low[i] + usize::from(part[i] >= 0.5))];
        }
    }

    /// The voxel of the box before a place, and how far behind it the place is.
    fn within(&self, place: &[f32; 3]) -> ([usize; 3], [f32; 3]) {
        let low = place.map(|v| v.floor());
        let voxel = std::array::from_fn(|i| (low[i] as isize - self.origin[i]) as usize);
        (voxel, std::array::from_fn(|i| place[i] - low[i]))
    }
}

/// Displacements, lengths `(z, y, x)`, by cubic B-splines between the nodes of a lattice.
struct Field {
    nodes: Array3<[f64; 3]>,
    /// For each axis and voxel the first of four nodes and their weights.
    splines: [Vec<(usize, [f64; 4])>; 3],
}

impl Field {
    fn random(settings: &Augmentation, extents: [usize; 3], spacing: [f64; 3], rng: &mut Rng) -> Self {
        let splines: [Vec<_>; 3] = std::array::from_fn(|i| {
            let nodes_per_voxel = spacing[i] / settings.bend_distance;
            (0..extents[i]).map(|v| spline(v as f64 * nodes_per_voxel)).collect()
        });
        let lattice = std::array::from_fn::<usize, 3, _>(|i| splines[i].last().map_or(4, |(n, _)| n + 4));
        // The splines average neighbouring nodes; about their middle the deviation is that of the settings again.
        let deviation = settings.bend / NODE_AVERAGE;
        let nodes = Array3::from_shape_simple_fn(lattice, || [(); 3].map(|()| deviation * rng.normal()));
        Field { nodes, splines }
    }

    fn at(&self, voxel: [usize; 3]) -> [f64; 3] {
        let [(z0, wz), (y0, wy), (x0, wx)] = std::array::from_fn(|i| self.splines[i][voxel[i]]);
        let mut sum = [0.0; 3];
        for (z, wz) in wz.iter().enumerate() {
            for (y, wy) in wy.iter().enumerate() {
                for (x, wx) in wx.iter().enumerate() {
                    let weight = wz * wy * wx;
                    let node = self.nodes[[z0 + z, y0 + y, x0 + x]];
                    sum = std::array::from_fn(|i| sum[i] + weight * node[i]);
                }
            }
        }
        sum
    }
}

/// The standard deviation of what cubic B-splines make of independent nodes of deviation 1 at a node: `((1 + 16 + 1) /
/// 36)^(3/2)`.
const NODE_AVERAGE: f64 = 0.353_553_390_593_273_8;

/// The first of the four nodes about a place, counted from one before the lattice's origin, and their weights.
fn spline(place: f64) -> (usize, [f64; 4]) {
    let first = place.floor();
    let t = place - first;
    let (s, t2, t3) = (1.0 - t, t * t, t * t * t);
    let weights = [s * s * s, 3.0 * t3 - 6.0 * t2 + 4.0, 3.0 * (t + t2 - t3) + 1.0, t3];
    (first as usize, weights.map(|w| w / 6.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    const EXTENTS: [usize; 3] = [9, 20, 24];

    fn read_all(d: &Deformation, of: impl Fn([f64; 3]) -> f32) -> Array3<f32> {
        let (origin, extents) = d.reads();
        let read = Array3::from_shape_fn(extents, |(z, y, x)| {
            let at = [z, y, x];
            of(std::array::from_fn(|i| at[i] as f64 + origin[i] as f64))
        });
        let mut out = Array3::zeros(EXTENTS);
        d.image(read.view(), out.view_mut());
        out
    }

    fn only(change: impl FnOnce(&mut Augmentation)) -> Deformation {
        let mut settings = Augmentation { share: 1.0, ..Augmentation::NONE };
        change(&mut settings);
        Deformation::random(&settings, EXTENTS, [2.0, 1.0, 1.0], &mut Rng::new(3)).unwrap()
    }

    #[test]
    fn a_turn_keeps_physical_distances_from_the_middle_and_the_slice() {
        let d = only(|s| s.turn = 90.0);
        let middle = EXTENTS.map(|n| (n as f64 - 1.0) / 2.0);
        let mut furthest = 0f64;
        for (i, place) in d.places.iter().enumerate() {
            let voxel = [i / 480, i / 24 % 20, i % 24].map(|v| v as f64);
            let radius = |p: [f64; 3]| (p[1] - middle[1]).hypot(p[2] - middle[2]);
            let place = place.map(f64::from);
            assert!((radius(place) - radius(voxel)).abs() < 1e-4 && place[0] == voxel[0]);
            furthest = furthest.max((place[1] - voxel[1]).abs());
        }
        assert!(furthest > 0.5, "it turns: {furthest}");
    }

    #[test]
    fn a_stretch_is_linear_about_the_middle_within_its_bound() {
        let d = only(|s| s.stretch = 0.2);
        let along_x = |x: usize| f64::from(d.places[x][2]);
        let factor = (along_x(23) - along_x(0)) / 23.0;
        assert!((factor - 1.0).abs() <= 0.2 && (factor - 1.0).abs() > 1e-3, "{factor}");
        assert!((along_x(23) + along_x(0) - 23.0).abs() < 1e-4);
    }

    #[test]
    fn a_bend_has_its_deviation_and_folds_nothing() {
        let settings = Augmentation { share: 1.0, bend: 1.5, bend_distance: 5.0, ..Augmentation::NONE };
        let (mut sum, mut count) = (0.0, 0);
        for seed in 0..30 {
            let d = Deformation::random(&settings, EXTENTS, [2.0, 1.0, 1.0], &mut Rng::new(seed)).unwrap();
            for (i, place) in d.places.iter().enumerate() {
                let voxel = [i / 480, i / 24 % 20, i % 24];
                // In units of the spacing, which is 2 along z.
                sum += (2.0 * (f64::from(place[0]) - voxel[0] as f64)).powi(2);
                sum += (f64::from(place[2]) - voxel[2] as f64).powi(2);
                count += 2;
            }
        }
        let deviation = (sum / f64::from(count)).sqrt();
        // Between nodes the splines average more.
        assert!((0.75..1.1).contains(&(deviation / 1.5)), "{deviation}");
    }

    #[test]
    fn linear_images_come_through_linear_interpolation_unchanged() {
        let d = only(|s| (s.turn, s.stretch, s.bend, s.bend_distance) = (30.0, 0.1, 1.0, 8.0));
        let plane = |p: [f64; 3]| (3.0 * p[0] - 2.0 * p[1] + 0.5 * p[2]) as f32;
        let out = read_all(&d, plane);
        for (o, place) in out.iter().zip(&d.places) {
            assert!((o - plane(place.map(f64::from))).abs() < 1e-3);
        }
    }

    #[test]
    fn labels_are_those_of_the_nearest_voxels() {
        let d = only(|s| (s.turn, s.bend, s.bend_distance) = (30.0, 1.0, 8.0));
        let (origin, extents) = d.reads();
        let read = Array3::from_shape_fn(extents, |(z, y, x)| [z, y, x]);
        let mut out = Array3::from_elem(EXTENTS, [0; 3]);
        d.labels(read.view(), out.view_mut());
        for (voxel, place) in out.iter().zip(&d.places) {
            for i in 0..3 {
                assert!((voxel[i] as f32 + origin[i] as f32 - place[i]).abs() <= 0.5 + 1e-4);
            }
        }
    }

    #[test]
    fn no_share_is_no_deformation() {
        let settings = Augmentation { share: 0.0, ..Augmentation::default() };
        assert!(Deformation::random(&settings, EXTENTS, [1.0; 3], &mut Rng::new(1)).is_none());
    }

    #[test]
    fn weights_of_splines_sum_to_one_and_the_named_average_is_theirs() {
        for t in [0.0, 0.3, 0.5, 0.99] {
            assert!((spline(t).1.iter().sum::<f64>() - 1.0).abs() < 1e-14);
        }
        let squares: f64 = spline(0.0).1.iter().map(|w| w * w).sum();
        assert!((squares.powf(1.5) - NODE_AVERAGE).abs() < 1e-14);
    }
}
