"""Compares what `steps.rs` computes with its peers, voxel by voxel: python compare.py PROGRAM DATA [CASES]

PROGRAM is what `cargo build --release -p cellseg-post --example steps` has built; DATA a folder of volumes (TIFF, HDF5) that
is searched through, CASES the number of random volumes (100). Prints a line for each volume, and the differences; fails if
there is one. Needs connected-components-3d 4, edt 3, h5py, scipy 1.17, scikit-image 0.26, SimpleITK 2.5,
stardist 0.9 and tifffile.
"""

import subprocess
import sys
import tempfile
from pathlib import Path

import cc3d
import edt
import h5py
import numpy as np
import SimpleITK
import tifffile
from scipy import ndimage as ndi
from skimage import filters, measure, morphology, segmentation
from stardist.matching import matching

EVERYWHERE = np.ones((3, 3, 3))
FOOTPRINTS = {6: ndi.generate_binary_structure(3, 1), 18: ndi.generate_binary_structure(3, 2), 26: EVERYWHERE}


def volumes(folder):
    """(name, volume, spacing) of every file; spacings as in the folder's README."""
    spacings = {"qcanet": (1.75, 0.8, 0.8), "bbbc050_train": (1.75, 0.8, 0.8), "stardist": (2, 1, 1), "cellseg3d": (1, 1, 1)}
    for path in sorted(folder.rglob("*.tif")):
        volume = tifffile.imread(path)
        if volume.ndim == 3:
            yield str(path.relative_to(folder)), volume, spacings.get(path.parent.name, (1, 1, 1))
    for path in sorted(folder.rglob("*.h5")):
        with h5py.File(path) as file:
            for name in ("raw", "label"):
                yield f"{path.relative_to(folder)}/{name}", file[name][:], (0.284, 0.127, 0.127)


def random_volumes(count):
    """Blobs and noise of all kinds: quantised to a few levels, constant, one voxel wide, rotated and flipped."""
    for number in range(count):
        rng = np.random.default_rng(number)
        shape = rng.integers(1, 24, 3)
        shape[rng.integers(3)] = rng.choice([1, 2, shape.max()])
        volume = ndi.gaussian_filter(rng.random(shape), rng.uniform(0, 2))
        levels = rng.choice([1, 2, 5, 40, 2000])
        volume = np.round((volume - volume.min()) / max(np.ptp(volume), 1e-9) * levels)
        volume = np.rot90(volume, rng.integers(4), rng.choice(3, 2, replace=False))
        yield f"random {number} {volume.shape}", volume, tuple(rng.uniform(0.3, 5, 3))


def inputs(volume):
    """The volume in whole numbers as f32, a mask, seeds, ids with gaps and other ids that overlap them."""
    rng = np.random.default_rng(0)
    image = np.round(volume).astype(np.float32)
    mask = image > (filters.threshold_otsu(image) if np.ptp(image) else 0)
    seeds = measure.label(rng.random(image.shape) < 0.004).astype(np.uint32)
    objects = segmentation.watershed(-image, measure.label(morphology.local_maxima(image)), mask=mask)
    gaps = np.unique(rng.integers(1, 2**32, objects.max() + 9, dtype=np.uint32))
    gaps[-1] = 2**32 - 1
    ids = np.concatenate([[0], gaps]).astype(np.uint32)[objects]
    others = np.roll(ids, 1, axis=int(np.argmax(ids.shape)))
    given = {"image": image, "mask": mask, "seeds": seeds, "ids": ids, "others": others}
    # cc3d numbers objects in the order of memory.
    return {name: np.ascontiguousarray(array) for name, array in given.items()}


class Differences:
    def __init__(self, folder):
        self.folder, self.found = folder, []

    def ours(self, name):
        return np.load(self.folder / f"our_{name}.npy")

    def equal(self, name, theirs):
        ours = self.ours(name)
        if ours.shape != np.shape(theirs) or (ours != theirs).any():
            count = (ours != theirs).sum() if ours.shape == np.shape(theirs) else f"shapes {ours.shape} {np.shape(theirs)}"
            self.found.append(f"{name}: {count} differ")

    def near(self, name, theirs, relative):
        ours = self.ours(name)
        bound = relative * max(np.abs(theirs).max(initial=0), 1e-6)
        if ours.shape != np.shape(theirs) or not np.allclose(ours, theirs, rtol=0, atol=bound):
            self.found.append(f"{name}: by up to {np.abs(ours - theirs).max() if ours.shape == np.shape(theirs) else 'shapes'}")


def components(mask, connectivity):
    try:
        return cc3d.connected_components(mask, connectivity=connectivity, binary_image=True)
    except RuntimeError:
        # cc3d 4.1.1 reserves too few labels for some small masks; scipy numbers alike.
        return ndi.label(mask, FOOTPRINTS[connectivity])[0]


def compare(given, spacing, differences):
    image, mask, seeds, ids = (given[name] for name in ("image", "mask", "seeds", "ids"))
    equal, near = differences.equal, differences.near
    if np.ptp(image):
        # Of an image in f32 scikit-image sums in f32, and takes a neighbouring bin for Otsu's where two are nearly as good.
        exact = image.astype(float)
        expected = [filters.threshold_otsu(exact), filters.threshold_li(image), filters.threshold_triangle(image)]
        near("thresholds", [*expected, *np.percentile(image.astype(float), [0, 1, 50, 99, 100])], 2e-5)
    near("gaussian", ndi.gaussian_filter(image.astype(float), 1), 1e-6)
    near("gaussian_unequal", ndi.gaussian_filter(image.astype(float), (0.5, 2, 1.3)), 1e-6)
    near("laplacian", ndi.gaussian_laplace(image.astype(float), 1.5), 1e-5)
    equal("median", ndi.median_filter(image, 3, mode="reflect"))
    equal("local_maxima", morphology.local_maxima(image, connectivity=3))
    ball = morphology.ball(2)
    equal("dilated", ndi.grey_dilation(image, footprint=ball))
    equal("white_hat", ndi.white_tophat(image, footprint=ball))
    equal("black_hat", ndi.black_tophat(image, footprint=ball))
    equal("reconstructed", morphology.reconstruction(image - 3, image, footprint=EVERYWHERE))
    # Heights are whole numbers: a persistence of 3 and more is one above 2.5.
    levelled = morphology.reconstruction(image - 2.5, image, footprint=EVERYWHERE)
    plateaus, count = ndi.label(morphology.local_maxima(levelled, connectivity=3), EVERYWHERE)
    peaks = differences.ours("peaks")
    if np.ptp(levelled) and sorted(plateaus[tuple(peaks.T)]) != list(range(1, count + 1)):
        differences.found.append(f"peaks: {len(peaks)} peaks, {count} plateaus")

    for connectivity in (6, 18, 26):
        equal(f"components_{connectivity}", components(mask, connectivity))
        equal(f"components_of_ids_{connectivity}", cc3d.connected_components(ids, connectivity=connectivity))
        flooded = segmentation.watershed(-image, seeds.astype(np.int32), mask=mask, connectivity=FOOTPRINTS[connectivity])
        equal(f"watershed_{connectivity}", flooded)
    # fill_voids 2.1 also fills voxels on edges of the volume, which are not holes.
    equal("holes", ndi.binary_fill_holes(mask))
    if not mask.all():
        equal("distance", edt.edt(mask, parallel=1))
        near("distance_spaced", edt.edt(mask, anisotropy=spacing, parallel=1), 3e-7)
    if (ids == 0).any():
        near("distance_of_ids", edt.edt(ids, anisotropy=spacing, parallel=1), 3e-7)
    equal("relabelled", segmentation.relabel_sequential(ids)[0])
    measurements(given, spacing, differences)


def measurements(given, spacing, differences):
    image, ids, others = (given[name] for name in ("image", "ids", "others"))
    compact = segmentation.relabel_sequential(ids)[0].astype(np.uint32)
    rows = []
    for region in measure.regionprops(compact, image.astype(float), spacing=spacing):
        first = tuple(region.coords[0])
        values = region.image_intensity[region.image]
        between = np.sqrt(10 * max(np.array([1, -1, 1]) @ region.inertia_tensor_eigvals, 0))
        axes = [region.axis_major_length, between, region.axis_minor_length]
        box = region.bbox
        rows.append([ids[first], region.num_pixels, *region.centroid, *box, *axes, values.mean(), values.std()])
    columns("regions", np.array(rows).reshape(-1, 16), differences)

    old = np.unique(ids[ids > 0])
    touching = cc3d.contacts(compact, connectivity=6, surface_area=True, anisotropy=spacing)
    pairs = sorted((*sorted((float(old[a - 1]), float(old[b - 1]))), area) for (a, b), area in touching.items())
    columns("contacts", np.array(pairs).reshape(-1, 3), differences)

    if len(old) and min(ids.shape) > 1:
        statistics = SimpleITK.LabelShapeStatisticsImageFilter()
        statistics.Execute(SimpleITK.GetImageFromArray(compact))
        perimeters = np.array([statistics.GetPerimeter(label) for label in statistics.GetLabels()])
        sizes = np.array([statistics.GetNumberOfPixels(label) for label in statistics.GetLabels()])
        large = sizes > 50
        ours = differences.ours("surfaces")[large]
        if large.any() and not np.allclose(ours, perimeters[large], rtol=0.04):
            differences.found.append(f"surfaces: by up to {np.abs(ours / perimeters[large] - 1).max():.3f}")

    if len(old) < 3000:
        moved = segmentation.relabel_sequential(others)[0]
        expected = []
        for threshold in [tenth / 10 for tenth in range(1, 10)]:
            score = matching(compact.astype(np.int64), moved.astype(np.int64), thresh=threshold)
            expected.append([score.tp, score.fp, score.fn, score.f1, score.panoptic_quality])
        columns("matching", np.array(expected), differences)


def columns(name, theirs, differences):
    ours = differences.ours(name)
    if ours.shape != theirs.shape:
        differences.found.append(f"{name}: shapes {ours.shape} and {theirs.shape}")
        return
    for column in range(theirs.shape[1]):
        a, b = ours[:, column], theirs[:, column]
        # cc3d sums areas in f32; an axis without extent is the root of a rounding.
        bound = 1e-5 * max(np.abs(b).max(initial=0), 1)
        if not np.allclose(a, b, rtol=0, atol=bound):
            differences.found.append(f"{name}, column {column}: by up to {np.abs(a - b).max()}")


def main(program, data, cases=100):
    failed, count = 0, 0
    for name, volume, spacing in [*volumes(Path(data)), *random_volumes(int(cases))]:
        with tempfile.TemporaryDirectory() as folder:
            given = inputs(volume)
            for array, values in given.items():
                np.save(f"{folder}/{array}.npy", values)
            differences = Differences(Path(folder))
            done = subprocess.run([program, folder, *map(str, spacing)], capture_output=True, text=True)
            if done.returncode:
                differences.found.append(done.stderr.strip())
            else:
                compare(given, spacing, differences)
        count += 1
        failed += bool(differences.found)
        if differences.found or not name.startswith("random"):
            print(f"{name} {volume.shape}: {'; '.join(differences.found) or 'equal'}", flush=True)
    print(f"{count} volumes, {failed} with differences")
    return failed > 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
