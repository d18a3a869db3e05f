// Resizing of volumes, nearest or trilinear, and its gradient as a sum over what each voxel went to: every number is
// written once by one thread that adds in a fixed order.
//
// Where a number lies between voxels is a fraction of whole numbers, found exactly. `resize`: a thread takes a pack of 16
// bytes of the channels of RUN neighbouring voxels along x, and holds the sums of four rows at the two voxels around; of
// the rows read, all but the first reads come from a cache. `gradient`: a thread takes a pack of the channels of one voxel
// and adds what it gave, 64 packs where the extents were doubled, mostly from a cache. No shared memory. Arithmetic per
// number where extents are doubled: about 20 operations forward, which is as much as memory allows for two-byte numbers,
// and 150 backward, for eight numbers read.
//
// instances: REAL=f32,f16,bf16
// targets: sm_75 sm_80 sm_90a
// budget: resize registers=112 shared=0
// budget: gradient registers=92 shared=0

// How places correspond: NEAREST, or linear with the volumes' faces or their corner voxels' centres in the same place.
enum : i32 { NEAREST = 0, FACES = 1, CORNERS = 2 };

// Voxels along x of a thread.
constexpr int RUN = 4;

struct Sizes {
    // Extents (z, y, x) before and after.
    i32 from[3], to[3];
    i32 channels, width, mode;
    // Packs, or runs of packs, of the array that is written.
    i64 count;
};

// The number at a place is that of the voxel `below`, and the share of the next one where it is not zero.
struct Tap {
    i32 below;
    f32 share;
};

// A place of the resized axis, in steps of 1 / unit of the other axis: from `at`, which may lie below zero, in equal steps.
struct Scale {
    i64 start, step, unit;
};

DEVICE inline Scale scale(i32 mode, i64 from, i64 to) {
    if (mode == NEAREST) return {0, from, to};
    if (mode == FACES) return {from - to, 2 * from, 2 * to};
    return {0, from - 1, to > 1 ? to - 1 : 1};
}

DEVICE inline Tap tap(i32 mode, i32 i, i32 from, i32 to) {
    Scale s = scale(mode, from, to);
    i64 at = max(s.start + i * s.step, (i64)0), below = quotient(at, s.unit);
    if (mode == NEAREST || below >= from - 1) return {(i32)min(below, (i64)from - 1), 0.f};
    return {(i32)below, (f32)(at - below * s.unit) / (f32)s.unit};
}

// Which volume, plane, row, voxel and channel the pack `i` of volumes of these extents is; rows are of `length` packs.
struct Place {
    i64 n;
    i32 z, y, x, channel;
};

DEVICE inline Place place(i64 i, const i32 (&extents)[3], i32 length, i32 packs) {
    Place p;
    i64 voxel = quotient(i, packs);
    p.channel = (i32)(i - voxel * packs);
    i64 row = quotient(voxel, length);
    p.x = (i32)(voxel - row * length);
    i64 plane = quotient(row, extents[1]);
    p.y = (i32)(row - plane * extents[1]);
    p.n = quotient(plane, extents[0]);
    p.z = (i32)(plane - p.n * extents[0]);
    return p;
}

template <int N> DEVICE inline void add(Wide<REAL, N>& sum, const REAL* x, f32 weight) {
    Wide<REAL, N> v = widened<N>(x);
#pragma unroll
    for (int i = 0; i < N; i++) sum[i] += v[i] * weight;
}

// The weighted sum of up to four rows at one voxel; `x` is at the first.
template <int N> DEVICE inline Wide<REAL, N> column(const REAL* x, const Tap& z, const Tap& y, i64 plane, i64 row) {
    Wide<REAL, N> sum = {};
    add<N>(sum, x, (1.f - z.share) * (1.f - y.share));
    if (y.share > 0.f) add<N>(sum, x + row, (1.f - z.share) * y.share);
    if (z.share > 0.f) {
        add<N>(sum, x + plane, z.share * (1.f - y.share));
        if (y.share > 0.f) add<N>(sum, x + plane + row, z.share * y.share);
    }
    return sum;
}

template <int N> DEVICE inline void resize_runs(REAL* out, const REAL* x, const Sizes& s) {
    i32 packs = s.channels / N, runs = (s.to[2] + RUN - 1) / RUN;
    i64 row = (i64)s.from[2] * s.channels, plane = s.from[1] * row;
    for (i64 i = (i64)blockIdx.x * 256 + threadIdx.x; i < s.count; i += (i64)gridDim.x * 256) {
        Place p = place(i, s.to, runs, packs);
        Tap z = tap(s.mode, p.z, s.from[0], s.to[0]), y = tap(s.mode, p.y, s.from[1], s.to[1]);
        const REAL* from = x + (p.n * s.from[0] + z.below) * plane + y.below * row + p.channel * N;
        REAL* to = out + ((p.n * s.to[0] + p.z) * s.to[1] + p.y) * s.to[2] * s.channels + p.channel * N;
        Wide<REAL, N> low = {}, high = {};
        i32 held = -2;
        bool is_high_held = false;
        for (i32 place = p.x * RUN; place < min((p.x + 1) * RUN, s.to[2]); place++) {
            Tap t = tap(s.mode, place, s.from[2], s.to[2]);
            if (t.below != held) {
                if (is_high_held && t.below == held + 1) low = high;
                else low = column<N>(from + (i64)t.below * s.channels, z, y, plane, row);
                held = t.below;
                is_high_held = false;
            }
            Wide<REAL, N> v = low;
            if (t.share > 0.f) {
                if (!is_high_held) high = column<N>(from + (i64)(held + 1) * s.channels, z, y, plane, row);
                is_high_held = true;
#pragma unroll
                for (int k = 0; k < N; k++) v[k] = low[k] * (1.f - t.share) + high[k] * t.share;
            }
            store_narrow<N>(to + (i64)place * s.channels, v);
        }
    }
}

KERNEL BOUNDS(256, 2) resize(REAL* out, const REAL* x, Sizes s) {
    if (s.width == 1) resize_runs<1>(out, x, s);
    else resize_runs<PACK<REAL>>(out, x, s);
}

// The places of the resized axis that the voxel `i` gives a share of its number, and how far away they are, in steps.
struct Given {
    i32 first, end;
    // The distance of the first place, and what it grows by; a place beyond the outermost voxels has none.
    i32 distance, step;
    bool is_lowest, is_highest;
    f32 per_unit;
};

// floor(a / b) + 1 where that is above zero, else 0.
DEVICE inline i64 first_above(i64 a, i64 b) { return a < 0 ? 0 : quotient(a, b) + 1; }

DEVICE inline Given given(i32 mode, i32 i, i32 from, i32 to) {
    Scale s = scale(mode, from, to);
    Given g;
    i64 first, end;
    if (mode == NEAREST) {
        // i <= place * from / to < i + 1
        first = quotient((i64)i * to + from - 1, from);
        end = quotient((i64)(i + 1) * to + from - 1, from);
    } else if (s.step == 0) {
        first = 0;
        end = i == 0 ? to : 0;
    } else {
        // i - 1 < (start + place * step) / unit < i + 1, and all that lies beyond the outermost voxels.
        first = i == 0 ? 0 : first_above((i64)(i - 1) * s.unit - s.start, s.step);
        end = i == from - 1 ? to : quotient((i64)(i + 1) * s.unit - s.start + s.step - 1, s.step);
    }
    g.first = (i32)min(first, (i64)to);
    g.end = (i32)min(end, (i64)to);
    g.distance = (i32)(s.start + g.first * s.step - i * s.unit);
    g.step = (i32)s.step;
    g.is_lowest = i == 0;
    g.is_highest = i == from - 1;
    g.per_unit = mode == NEAREST ? 0.f : 1.f / (f32)s.unit;
    return g;
}

// The share of the place after `n` others.
DEVICE inline f32 share(const Given& g, i32 n) {
    i32 distance = g.distance + n * g.step;
    if ((g.is_lowest && distance < 0) || (g.is_highest && distance > 0)) return 1.f;
    return 1.f - (f32)abs(distance) * g.per_unit;
}

template <int N> DEVICE inline void gather(REAL* out, const REAL* grad, const Sizes& s) {
    i32 packs = s.channels / N;
    for (i64 i = (i64)blockIdx.x * 256 + threadIdx.x; i < s.count; i += (i64)gridDim.x * 256) {
        Place p = place(i, s.from, s.from[2], packs);
        Given along_z = given(s.mode, p.z, s.from[0], s.to[0]), along_y = given(s.mode, p.y, s.from[1], s.to[1]),
              along_x = given(s.mode, p.x, s.from[2], s.to[2]);
        Wide<REAL, N> sum = {};
        for (i32 z = along_z.first; z < along_z.end; z++) {
            f32 of_z = share(along_z, z - along_z.first);
            for (i32 y = along_y.first; y < along_y.end; y++) {
                f32 of_row = of_z * share(along_y, y - along_y.first);
                const REAL* row = grad + ((p.n * s.to[0] + z) * s.to[1] + y) * s.to[2] * s.channels + p.channel * N;
#pragma unroll 2
                for (i32 x = along_x.first; x < along_x.end; x++)
                    add<N>(sum, row + (i64)x * s.channels, of_row * share(along_x, x - along_x.first));
            }
        }
        store_narrow<N>(out + i * N, sum);
    }
}

KERNEL BOUNDS(256, 2) gradient(REAL* out, const REAL* grad, Sizes s) {
    if (s.width == 1) gather<1>(out, grad, s);
    else gather<PACK<REAL>>(out, grad, s);
}
