"""Makes, and checks the table of, labels too large for memory: 2048 x 2048 x 1024 voxels, 17 GB, some 0.5 GB packed.

    python make_large_labels.py labels.tif                # a BigTIFF of 1,048,576 ellipsoids, plane by plane
    cellseg post stats labels.tif -o table.csv
    python make_large_labels.py labels.tif table.csv      # is each row what it must be?

A tile of 64 x 64 x 64 voxels with 64 ellipsoids of semi-axes 3 to 8 lies side by side 16 x 32 x 32 times, each time with
other ids.
"""

import sys

import numpy as np

SHAPE, TILE, IN_TILE, SPACING = (1024, 2048, 2048), 64, 64, 2.0


def tile():
    """The ids 1 to 64 of one tile."""
    rng = np.random.default_rng(1)
    places = np.mgrid[:TILE, :TILE, :TILE]
    ids = np.zeros((TILE,) * 3, np.uint32)
    for number in range(IN_TILE):
        centre = 8 + 16 * np.array(np.unravel_index(number, (4, 4, 4)))
        axes = rng.uniform(3, 8, 3)
        ids[sum(((p - c) / a) ** 2 for p, c, a in zip(places, centre, axes)) < 1] = number + 1
    return ids


def planes(ids):
    """The volume's planes."""
    tiles = SHAPE[1] // TILE, SHAPE[2] // TILE
    number = np.arange(tiles[0] * tiles[1], dtype=np.uint32).reshape(tiles).repeat(TILE, 0).repeat(TILE, 1)
    for z in range(SHAPE[0]):
        plane = np.tile(ids[z % TILE], tiles)
        first = (number + z // TILE * number.max() + z // TILE) * np.uint32(IN_TILE)
        yield np.where(plane > 0, plane + first.astype(np.uint32), np.uint32(0))


def check(table, ids):
    """Compares every row with what the tile says."""
    import pandas

    table = pandas.read_csv(table)
    label = table["label"].to_numpy() - 1
    assert (label == np.arange(SHAPE[0] * SHAPE[1] * SHAPE[2] // TILE**3 * IN_TILE)).all()
    within, number = label % IN_TILE, label // IN_TILE
    voxels = np.bincount(ids.ravel())[1:]
    assert (table["voxels"].to_numpy() == voxels[within]).all()
    grid = [side // TILE for side in SHAPE]
    corner = np.unravel_index(number, grid)
    for axis, name in enumerate("zyx"):
        place = np.indices(ids.shape)[axis].ravel()
        own = np.bincount(ids.ravel(), place)[1:] / voxels
        error = table[f"centroid_{name}_voxels"] - (own[within] + corner[axis] * TILE)
        assert abs(error).max() < 1e-9, error
    assert np.allclose(table["volume_um3"], voxels[within] * SPACING)
    print(f"{len(table)} rows are right")


if __name__ == "__main__":
    if len(sys.argv) > 2:
        check(sys.argv[2], tile())
    else:
        import tifffile

        tifffile.imwrite(
            sys.argv[1], planes(tile()), shape=SHAPE, dtype=np.uint32, bigtiff=True, compression="zlib",
            compressionargs={"level": 1}, photometric="minisblack", resolution=(1e4, 1e4),
            resolutionunit="CENTIMETER", metadata={"axes": "ZYX", "spacing": SPACING, "unit": "um"},
        )
