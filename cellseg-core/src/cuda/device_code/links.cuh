// How convolutions link voxels, axis by axis: the device's side of cellseg-kernels/src/conv3d/geometry.rs.
//
// A convolution links the voxel `fine` of its input with the voxel `coarse` of its output through the tap `k` where
// `fine = coarse * stride + k - padding`. Sums go into coarse voxels (the convolution), into fine ones (its data gradient,
// the transposed convolution), or into taps (weight gradients). Towards fine voxels, those at equal distances of `stride`
// see the same taps and read neighbouring coarse voxels: each such phase is a convolution of stride 1 of its own.

/// A number to divide by, with what makes of it a multiplication and a shift (Granlund and Montgomery, PLDI 1994).
struct Divisor {
    u32 divisor, multiplier, shift;
};

/// n / d for n < 2^31, rounded down.
DEVICE inline u32 divide(u32 n, const Divisor& d) { return (u32(u64(n) * d.multiplier >> 32) + n) >> d.shift; }

/// One axis of sums into voxels.
struct LinkAxis {
    i32 inputs, outputs;  // voxels that are read and that are written
    i32 kernel, stride, padding;
    i32 phases;       // 1 towards coarse voxels
    Divisor counts;  // outputs of the phase that has the most
};

/// Output j of a phase is the voxel `first + j * step`; it reads the inputs `start + j * stride + t`, where they exist, with
/// the tap `tap_first + t * tap_step`, for t < taps.
struct Phase {
    i32 first, step, start, stride, taps, tap_first, tap_step;
};

DEVICE inline Phase phase_of(const LinkAxis& a, bool to_fine, i32 index) {
    if (!to_fine) return {0, 1, -a.padding, a.stride, a.kernel, 0, 1};
    i32 reach = index + a.padding, first_tap = reach % a.stride;
    i32 taps = first_tap < a.kernel ? (a.kernel - 1 - first_tap) / a.stride + 1 : 0;
    i32 last_tap = first_tap + (taps - 1) * a.stride;
    // From the last tap to the first, so that the voxels read lie in ascending order.
    return {index, a.stride, (reach - last_tap) / a.stride, 1, taps, last_tap, -a.stride};
}

/// Taps of an axis that a mask of reachable taps has room for: three axes in one register.
constexpr i32 MASKED_TAPS = 10;

/// Bit t is set where `at + t` is one of `extent` voxels, for t < taps <= MASKED_TAPS.
DEVICE inline u32 reachable(i32 at, i32 extent, i32 taps) {
    i32 from = min(max(-at, 0), taps), to = min(max(extent - at, 0), taps);
    return to > from ? (1u << to) - (1u << from) : 0;
}

/// The bits of a mask of three axes that tap (z, y, x) needs.
DEVICE inline u32 needed(i32 z, i32 y, i32 x) {
    return 1u << z | 1u << (MASKED_TAPS + y) | 1u << (2 * MASKED_TAPS + x);
}

/// The mask of an output whose tap (0, 0, 0) reads (z, y, x).
DEVICE inline u32 reachable_mask(i32 z, i32 y, i32 x, const i32 (&extents)[3], const i32 (&taps)[3]) {
    return reachable(z, extents[0], taps[0]) | reachable(y, extents[1], taps[1]) << MASKED_TAPS |
           reachable(x, extents[2], taps[2]) << 2 * MASKED_TAPS;
}
