"""Times the steps of `benches/post.rs` beside their peers: python compare.py PROGRAM 512 [STEP ...] in the volumes' folder.

PROGRAM is what `cargo build --release --bench post` has built. Peers and ours alternate, each in a process of its own on
one pinned processor, one thread; the ratio is that of the least processor times. Needs connected-components-3d, edt,
fill_voids, pydensecrf2, SimpleITK, scikit-image, scipy and stardist.
"""

import os
import subprocess
import sys
import time

import numpy as np

ROUNDS = 3
PROCESSOR = os.environ.get("PROCESSOR", "1")
ANISOTROPIC = (5, 1.5, 1.5)


def load(name, side):
    return np.load(f"{name}{side}.npy")


def mask(side):
    return (load("prob", side) > 0.5,)


def landscape(side):
    """The negative distance, its peaks as seeds, the mask."""
    import edt
    from skimage.feature import peak_local_max

    (inside,) = mask(side)
    distance = edt.edt(inside)
    places = peak_local_max(distance, min_distance=3, labels=inside.astype(np.uint8), exclude_border=False)
    seeds = np.zeros(inside.shape, np.int32)
    seeds[tuple(places.T)] = np.arange(1, len(places) + 1)
    return -distance, seeds, inside


def two_labels(side):
    labels = load("lab", side)
    return labels, np.roll(labels, 1, axis=2)


def components(connectivity):
    import cc3d

    return lambda m: cc3d.connected_components(m, connectivity=connectivity, return_N=True, binary_image=True)


def distance(spacing):
    import edt

    return lambda m: edt.edt(m, anisotropy=spacing, parallel=1)


def gaussian(sigma):
    from scipy import ndimage

    return lambda image: ndimage.gaussian_filter(image, sigma)


def voronoi_otsu(image):
    """napari-segment-blobs-and-things-with-membranes' voronoi_otsu_labeling."""
    from skimage.filters import gaussian, threshold_otsu
    from skimage.measure import label
    from skimage.morphology import local_maxima
    from skimage.segmentation import watershed

    spots = local_maxima(gaussian(image, 0.65))
    blurred = gaussian(image, 0.65)
    inside = blurred > threshold_otsu(blurred)
    return watershed(inside, label(np.logical_and(inside, spots)), mask=inside)


def surface(image):
    import SimpleITK

    SimpleITK.ProcessObject.SetGlobalDefaultNumberOfThreads(1)
    statistics = SimpleITK.LabelShapeStatisticsImageFilter()
    statistics.Execute(image)
    return statistics


def itk_labels(side):
    import SimpleITK

    return (SimpleITK.GetImageFromArray(load("lab", side)),)


def map_and_image(side):
    return load("prob", side), np.clip((load("img", side) + 0.2) * 170, 0, 255)


def crf(foreground, image):
    """pydensecrf on both classes, as CellSeg3D calls it, with all three axes scaled."""
    import pydensecrf.densecrf as dcrf
    from pydensecrf.utils import create_pairwise_bilateral, create_pairwise_gaussian, unary_from_softmax

    field = dcrf.DenseCRF(image.size, 2)
    field.setUnaryEnergy(unary_from_softmax(np.stack([1 - foreground, foreground])))
    near = create_pairwise_gaussian(sdims=(1, 1, 1), shape=image.shape)
    alike = create_pairwise_bilateral(sdims=(10, 10, 10), schan=(5,), img=image, chdim=-1)
    field.addPairwiseEnergy(near, compat=5.0)
    field.addPairwiseEnergy(alike, compat=10.0)
    return np.array(field.inference(5))[1].reshape(image.shape)


def call(module, name, **options):
    return lambda *values, **more: getattr(__import__(module, fromlist=[name]), name)(*values, **options, **more)


LABELS = lambda side: (load("lab", side),)
IMAGE = lambda side: (load("img", side),)
PROPERTIES = ("label", "area", "bbox", "centroid", "axis_major_length", "axis_minor_length")
TENTHS = [n / 10 for n in range(1, 10)]
# Step: the peer, what it is given, how to make the call.
PEERS = {
    "components6": ("cc3d", lambda side: (mask(side)[0].astype(np.uint8),), lambda: components(6)),
    "components26": ("cc3d", lambda side: (mask(side)[0].astype(np.uint8),), lambda: components(26)),
    "holes": ("fill_voids", mask, lambda: call("fill_voids", "fill")),
    "distance": ("edt", mask, lambda: distance((1, 1, 1))),
    "distance_5_1.5_1.5": ("edt", mask, lambda: distance(ANISOTROPIC)),
    "gaussian1": ("scipy.ndimage", IMAGE, lambda: gaussian(1.0)),
    "gaussian2": ("scipy.ndimage", IMAGE, lambda: gaussian(2.0)),
    "h_maxima": (
        "scikit-image",
        lambda side: (-landscape(side)[0],),
        lambda: lambda height: call("skimage.morphology", "h_maxima")(height, 0.2),
    ),
    "watershed": (
        "scikit-image",
        landscape,
        lambda: lambda a, seeds, m: call("skimage.segmentation", "watershed")(a, seeds, mask=m),
    ),
    "voronoi_otsu": ("napari-segment-blobs", lambda side: (load("prob", side),), lambda: voronoi_otsu),
    "regions": ("cc3d.statistics", LABELS, lambda: call("cc3d", "statistics")),
    "regions_axes": (
        "scikit-image",
        LABELS,
        lambda: call("skimage.measure", "regionprops_table", properties=PROPERTIES),
    ),
    "solidity": ("scikit-image", LABELS, lambda: call("skimage.measure", "regionprops_table", properties=("solidity",))),
    "distance_of_ids": ("edt", LABELS, lambda: distance((1, 1, 1))),
    "surface": ("SimpleITK", itk_labels, lambda: surface),
    "contacts": (
        "cc3d.contacts",
        LABELS,
        lambda: call("cc3d", "contacts", connectivity=6, surface_area=True, anisotropy=(1, 1, 1)),
    ),
    "crf": ("pydensecrf2", map_and_image, lambda: crf),
    "matching": ("stardist", two_labels, lambda: call("stardist.matching", "matching", thresh=TENTHS)),
}
# Steps of ours that are compared with the same peer, and those whose peer has a name of its own.
ALIASES = {"watershed_compat": "watershed"}
OURS = {"regions_axes": "regions"}


def peer(step, side):
    """Prints the seconds of processor time of one call."""
    _, given, make = PEERS[step]
    values, function = given(side), make()
    start = time.process_time()
    function(*values)
    print(time.process_time() - start)


def seconds(command):
    environment = {**os.environ, "RAYON_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(["taskset", "-c", PROCESSOR, *command], capture_output=True, text=True, env=environment)
    return done.stdout.split() if done.returncode == 0 else None


def main(program, side, steps):
    print("| step | peer | s | ours, s | ratio | our peak, bytes a voxel |\n|---|---|---|---|---|---|")
    for step in steps:
        theirs, ours, peak = [], [], "?"
        for _ in range(int(os.environ.get("ROUNDS", ROUNDS))):
            found = seconds([sys.executable, __file__, "--peer", ALIASES.get(step, step), side])
            theirs += [float(found[-1])] if found else []
            found = seconds([program, ".", side, OURS.get(step, step), "3"])
            if found:
                ours, peak = [*ours, float(found[2])], found[4]
        name = PEERS[ALIASES.get(step, step)][0]
        if theirs and ours:
            print(f"| {step} | {name} | {min(theirs):.3f} | {min(ours):.4f} | {min(theirs) / min(ours):.1f} | {peak} |", flush=True)
        else:
            print(f"| {step} | {name} | {theirs or 'failed'} | {ours or 'failed'} | | {peak} |", flush=True)


if __name__ == "__main__":
    if sys.argv[1] == "--peer":
        peer(sys.argv[2], sys.argv[3])
    else:
        main(sys.argv[1], sys.argv[2], sys.argv[3:] or [*PEERS, *ALIASES])
