// SoftNCuts in CellSeg3D's form: the classes' means, the associations, and the gradient of the probabilities.
//
// mean_sums     One block sums one chunk of voxels for up to 256 classes: sum p_k, sum p_k I. Two loads for three FLOPs.
// means         One block a class and item adds the chunks up in their order and divides.
// associations  With q = G * p_k: sum p q W, sum q W and what the gradient needs of them. A block of 256 threads goes down
//               z, over `depth` planes and their halo: a plane's tile of 8 rows of 32 numbers (voxels times classes, side by
//               side as they lie in memory) and its halo come to shared memory, are summed along x, then along y, and
//               each thread keeps its column's last planes in shared memory for the sum along z. So q is never stored:
//               the pass reads p 1.5 x 1.5 x 1.25 times (halo, radius 2, mostly from L2) and writes sums alone.
// gradient      G * ((a p - b) W) + a q W + sum_c s_c (I_c - m_c), both smoothed together, in the same way. q is computed
//               again: 15 FMA a number against a volume written, kept until the backward pass, and read.
//
// Dynamic shared memory at radius 2, two classes, one channel: 10.8 kB (associations, with 2 kB of slopes) and 17.3 kB.
// About 25 FLOPs a byte of device memory: the two passes are bound by latency and launches at 64^3 (on paper 4 us
// each where bytes alone take 1 us), by the exponentials and shared memory above.
// Sums: at most 16 terms in f32 by one thread, then in f64 in a fixed order; no atomics.
//
// instances: REAL=f32,f16,bf16
// targets: sm_75 sm_80 sm_90a
// budget: mean_sums registers=48 shared=2048
// budget: means registers=58 shared=1024
// budget: associations registers=80 shared=2048
// budget: gradient registers=80 shared=0

struct Volume {
    i32 n, d, h, w, k, c;
    i32 reach_z, reach_y, reach_x;
    i32 chunks;              // of voxels of an item, for the means
    i32 tile_classes;        // classes of a block's tile
    i32 tile_voxels;         // voxels of a row of it: tile_classes * tile_voxels <= 32
    i32 depth;               // planes of a block's tile
    i32 recording;           // whether the gradient's sums are wanted
    f32 near;                // log2(e) / (2 sigma_space^2)
    f32 alike;               // log2(e) / sigma_intensity^2
    f32 least_probability;   // what keeps the mean of an empty class finite
};

constexpr i32 THREADS = 256;
constexpr i32 ROWS = 8;     // of a tile
constexpr i32 COLUMNS = 32;

/// Adds up `value` over all threads `lane * classes + place` of the block with the same `place`; the sum is in lane 0.
/// Other threads have `lane >= lanes`.
DEVICE inline f64 sum_of_class(f64 value, i32 lane, i32 lanes, i32 place, i32 classes) {
    __shared__ f64 values[THREADS];
    if (lane < lanes) values[lane * classes + place] = value;
    __syncthreads();
    for (i32 count = lanes; count > 1;) {
        i32 half = (count + 1) / 2;
        if (lane + half < count) values[lane * classes + place] += values[(lane + half) * classes + place];
        __syncthreads();
        count = half;
    }
    f64 sum = lane == 0 ? values[place] : 0.0;
    __syncthreads();  // the next call writes the same memory
    return sum;
}

/// `sums` is [n][chunks][1 + c][k]. Grid: chunks, n, class tiles times channels.
KERNEL BOUNDS(THREADS, 4) mean_sums(const REAL* p, const REAL* image, f64* sums, Volume g) {
    i32 channel = blockIdx.z % g.c, first = blockIdx.z / g.c * THREADS;
    i32 classes = min(g.k - first, THREADS), lanes = THREADS / classes;
    i32 lane = threadIdx.x / classes, place = threadIdx.x % classes;
    i64 voxels = i64(g.d) * g.h * g.w, each = ceil_div(voxels, i64(g.chunks));
    i64 at = blockIdx.x * each + lane, end = min((blockIdx.x + 1) * each, voxels);
    if (lane >= lanes) at = end;
    p += blockIdx.y * voxels * g.k + first + place;
    image += blockIdx.y * voxels * g.c + channel;
    f64 mass = 0.0, weighted = 0.0;
    while (at < end) {
        f32 some_mass = 0.0f, some_weighted = 0.0f;
#pragma unroll 4
        for (i32 i = 0; i < 16; i++, at += lanes) {
            if (at >= end) break;
            f32 x = wide(p[at * g.k]);
            some_mass += x;
            some_weighted += x * wide(image[at * g.c]);
        }
        mass += some_mass;
        weighted += some_weighted;
    }
    mass = sum_of_class(mass, lane, lanes, place, classes);
    weighted = sum_of_class(weighted, lane, lanes, place, classes);
    if (lane != 0) return;
    f64* out = sums + (i64(blockIdx.y) * g.chunks + blockIdx.x) * (1 + g.c) * g.k + first + place;
    if (channel == 0) out[0] = mass;
    out[i64(1 + channel) * g.k] = weighted;
}

/// The means, [n][c][k][2]: rounded to f32, and what rounding left; and what they were divided by, [n][k]. Grid: k, n.
KERNEL BOUNDS(THREADS, 4) means(const f64* sums, f32* centres, f64* masses, Volume g) {
    i32 item = blockIdx.y, class_ = blockIdx.x;
    f64 mass = 0.0;
    for (i32 quantity = 0; quantity <= g.c; quantity++) {
        f64 sum = 0.0;
        for (i32 chunk = threadIdx.x; chunk < g.chunks; chunk += THREADS)
            sum += sums[((i64(item) * g.chunks + chunk) * (1 + g.c) + quantity) * g.k + class_];
        sum = block_sum<THREADS>(sum);
        if (quantity == 0) {
            mass = sum + f64(g.least_probability) * (f64(g.d) * g.h * g.w);
            if (threadIdx.x == 0) masses[i64(item) * g.k + class_] = mass;
        } else if (threadIdx.x == 0) {
            f64 mean = sum / mass;
            f32* out = centres + ((i64(item) * g.c + quantity - 1) * g.k + class_) * 2;
            out[0] = f32(mean);
            out[1] = f32(mean - f64(f32(mean)));
        }
    }
}

/// A voxel's distance from the mean of a class along one channel. The first difference is exact near the mean.
DEVICE inline f32 difference(f32 intensity, const f32* centre) { return (intensity - centre[0]) - centre[1]; }

/// The square of a voxel's distance from the mean of a class. `centres` is the class's part.
DEVICE inline f32 square_of(const REAL* voxel, const f32* centres, const Volume& g) {
    f32 square = 0.0f;
    for (i32 channel = 0; channel < g.c; channel++) {
        f32 e = difference(wide(voxel[channel]), centres + i64(channel) * g.k * 2);
        square += e * e;
    }
    return square;
}

/// `W_k` of a voxel of this squared distance.
DEVICE inline f32 weight(f32 square, const Volume& g) { return exp2_fast(-(square * square) * g.alike); }

/// Where a block works, and where a thread does.
struct Place {
    i32 item, z, y, x;     // of the tile's first voxel
    i32 first_class;       // of the tile
    i32 part;              // the tile's number within its item, whatever its classes
    i32 classes, voxels;   // of the tile's rows
    i32 row, voxel, place; // the thread's
    bool works;            // whether the thread has a number of the tile
};

DEVICE inline Place find_place(const Volume& g) {
    Place at;
    i32 class_tiles = ceil_div(g.k, g.tile_classes), across = ceil_div(g.w, g.tile_voxels);
    i32 down = ceil_div(g.h, ROWS), deep = ceil_div(g.d, g.depth);
    u32 block = blockIdx.x;
    at.first_class = i32(block % class_tiles) * g.tile_classes;
    block /= class_tiles;
    at.part = i32(block % u32(across * down * deep));
    at.x = i32(block % across) * g.tile_voxels;
    block /= across;
    at.y = i32(block % down) * ROWS;
    block /= down;
    at.z = i32(block % deep) * g.depth;
    at.item = i32(block / deep);
    at.classes = min(g.tile_classes, g.k - at.first_class);
    at.voxels = g.tile_voxels;
    i32 column = threadIdx.x % COLUMNS;
    at.row = threadIdx.x / COLUMNS;
    at.voxel = column / at.classes;
    at.place = column % at.classes;
    at.works = at.voxel < at.voxels && at.x + at.voxel < g.w && at.y + at.row < g.h;
    return at;
}

/// The window's factors along z, y and x, one after the other.
DEVICE inline void fill_factors(f32* factors, const Volume& g) {
    auto fill = [&](f32* to, i32 reach) {
        for (i32 i = threadIdx.x; i <= 2 * reach; i += THREADS)
            to[i] = exp2_fast(-f32((i - reach) * (i - reach)) * g.near);
        return to + 2 * reach + 1;
    };
    fill(fill(fill(factors, g.reach_z), g.reach_y), g.reach_x);
}

/// Numbers of a tile with its halo, and of it after the sum along x.
DEVICE inline i32 tile_count(const Volume& g, const Place& at) {
    return (ROWS + 2 * g.reach_y) * (at.voxels + 2 * g.reach_x) * at.classes;
}

/// Sums the tile along x, row by row of the halo.
DEVICE inline void smooth_along_x(const f32* tile, f32* rows, const f32* factors, const Volume& g, const Place& at) {
    i32 length = (at.voxels + 2 * g.reach_x) * at.classes, column = threadIdx.x % COLUMNS;
    if (column >= at.voxels * at.classes) return;
    for (i32 row = threadIdx.x / COLUMNS; row < ROWS + 2 * g.reach_y; row += THREADS / COLUMNS) {
        const f32* from = tile + row * length + column;
        f32 sum = 0.0f;
#pragma unroll 2
        for (i32 i = 0; i <= 2 * g.reach_x; i++) sum += factors[i] * from[i * at.classes];
        rows[row * COLUMNS + column] = sum;
    }
}

/// The sum along y of this thread's number.
DEVICE inline f32 smooth_along_y(const f32* rows, const f32* factors, const Volume& g) {
    f32 sum = 0.0f;
#pragma unroll 2
    for (i32 i = 0; i <= 2 * g.reach_y; i++) sum += factors[i] * rows[threadIdx.x + i * COLUMNS];
    return sum;
}

/// The sum along z for the plane `z` of this thread's column of planes, plane by plane in turn in `ring`.
DEVICE inline f32 smooth_along_z(const f32* ring, const f32* factors, i32 z, const Volume& g) {
    i32 slots = 2 * g.reach_z + 1, slot = z % slots;  // that of plane z - reach_z
    f32 sum = 0.0f;
#pragma unroll 2
    for (i32 i = 0; i < slots; i++) {
        sum += factors[i] * ring[slot * THREADS + threadIdx.x];
        slot = slot + 1 == slots ? 0 : slot + 1;
    }
    return sum;
}

/// Calls `put(i, voxel, class)` for each number of the tile with its halo in plane `z`: where it belongs, which voxel of
/// the item it is of, -1 where there is none, and which class.
template <typename Put> DEVICE inline void for_tile(i32 z, const Volume& g, const Place& at, Put put) {
    i32 length = (at.voxels + 2 * g.reach_x) * at.classes;
    for (i32 row = threadIdx.x / COLUMNS; row < ROWS + 2 * g.reach_y; row += THREADS / COLUMNS) {
        i32 y = at.y + row - g.reach_y;
#pragma unroll 1
        for (i32 column = threadIdx.x % COLUMNS; column < length; column += COLUMNS) {
            i32 x = at.x + column / at.classes - g.reach_x;
            bool exists = z >= 0 && z < g.d && y >= 0 && y < g.h && x >= 0 && x < g.w;
            put(row * length + column, exists ? (i64(z) * g.h + y) * g.w + x : -1, at.first_class + column % at.classes);
        }
    }
}

/// `sums` is [n][parts][quantities][k]: sum p q W, sum q W; then, where the gradient is wanted, with s = q W |I - m|^2, for
/// each channel sum p s (I - m), sum s (I - m).
KERNEL BOUNDS(THREADS, 3) associations(const REAL* p, const REAL* image, const f32* centres, f64* sums, Volume g) {
    DYNAMIC_SHARED;
    Place at = find_place(g);
    i64 voxels = i64(g.d) * g.h * g.w;
    p += at.item * voxels * g.k;
    image += at.item * voxels * g.c;
    i32 class_ = at.first_class + at.place;
    centres += (i64(at.item) * g.c * g.k + class_) * 2;

    f32* factors = reinterpret_cast<f32*>(smem);
    f32* tile = factors + 2 * (g.reach_z + g.reach_y + g.reach_x) + 3;
    f32* rows = tile + tile_count(g, at);
    f32* ring = rows + (ROWS + 2 * g.reach_y) * COLUMNS;
    f32* slopes = ring + (2 * g.reach_z + 1) * THREADS;  // [c][2][THREADS], where the gradient is wanted
    const f32 *along_y = factors + 2 * g.reach_z + 1, *along_x = along_y + 2 * g.reach_y + 1;
    fill_factors(factors, g);
    for (i32 i = 0; g.recording && i < 2 * g.c; i++) slopes[i * THREADS + threadIdx.x] = 0.0f;

    f32 within = 0.0f, total = 0.0f;
    i32 end = min(at.z + g.depth, g.d);
    for (i32 plane = at.z - g.reach_z; plane < end + g.reach_z; plane++) {
        for_tile(plane, g, at, [&](i32 i, i64 voxel, i32 of) { tile[i] = voxel < 0 ? 0.0f : wide(p[voxel * g.k + of]); });
        __syncthreads();
        smooth_along_x(tile, rows, along_x, g, at);
        __syncthreads();
        ring[(plane + g.reach_z) % (2 * g.reach_z + 1) * THREADS + threadIdx.x] =
            at.works ? smooth_along_y(rows, along_y, g) : 0.0f;
        i32 z = plane - g.reach_z;
        if (z < at.z || !at.works) continue;
        f32 q = smooth_along_z(ring, factors, z, g);
        i64 voxel = (i64(z) * g.h + at.y + at.row) * g.w + at.x + at.voxel;
        f32 here = wide(p[voxel * g.k + class_]);
        f32 square = square_of(image + voxel * g.c, centres, g);
        f32 product = q * weight(square, g);
        within += here * product;
        total += product;
        for (i32 channel = 0; g.recording && channel < g.c; channel++) {
            f32 e = difference(wide(image[voxel * g.c + channel]), centres + i64(channel) * g.k * 2) * (product * square);
            slopes[2 * channel * THREADS + threadIdx.x] += here * e;
            slopes[(2 * channel + 1) * THREADS + threadIdx.x] += e;
        }
    }

    i32 quantities = g.recording ? 2 + 2 * g.c : 2, parts = ceil_div(g.w, at.voxels) * ceil_div(g.h, ROWS) * ceil_div(g.d, g.depth);
    f64* out = sums + (i64(at.item) * parts + at.part) * quantities * g.k + class_;
    bool in_tile = at.voxel < at.voxels;
    i32 lanes = ROWS * at.voxels, lane = in_tile ? at.row * at.voxels + at.voxel : lanes;
    for (i32 quantity = 0; quantity < quantities; quantity++) {
        f64 mine = quantity == 0 ? within : quantity == 1 ? total : slopes[(quantity - 2) * THREADS + threadIdx.x];
        f64 sum = sum_of_class(mine, lane, lanes, at.place, at.classes);
        if (lane == 0) out[i64(quantity) * g.k] = sum;
    }
}

/// The gradient of the probabilities for the gradient of the loss in `grad`. `coefficients` is [n][2 + c][k]: a, b, then
/// s_c for each channel.
KERNEL BOUNDS(THREADS, 3) gradient(const REAL* p, const REAL* image, const REAL* grad, const f32* centres, const f32* coefficients, REAL* out,
         Volume g) {
    DYNAMIC_SHARED;
    Place at = find_place(g);
    i64 voxels = i64(g.d) * g.h * g.w;
    p += at.item * voxels * g.k;
    image += at.item * voxels * g.c;
    out += at.item * voxels * g.k;
    centres += i64(at.item) * g.c * g.k * 2;
    coefficients += i64(at.item) * (2 + g.c) * g.k;

    i32 slots = 2 * g.reach_z + 1, count = tile_count(g, at), row_count = (ROWS + 2 * g.reach_y) * COLUMNS;
    f32* factors = reinterpret_cast<f32*>(smem);
    f32* tiles = factors + 2 * (g.reach_z + g.reach_y + g.reach_x) + 3;  // of p, then of (a p - b) W
    f32* rows = tiles + 2 * count;
    f32* rings = rows + 2 * row_count;
    const f32 *along_y = factors + slots, *along_x = along_y + 2 * g.reach_y + 1;
    fill_factors(factors, g);

    i32 class_ = at.first_class + at.place;
    const f32* of_class = centres + class_ * 2;
    f32 scale = wide(*grad), a = coefficients[class_];
    i32 end = min(at.z + g.depth, g.d);
    for (i32 plane = at.z - g.reach_z; plane < end + g.reach_z; plane++) {
        for_tile(plane, g, at, [&](i32 i, i64 voxel, i32 of) {
            f32 x = 0.0f, u = 0.0f;
            if (voxel >= 0) {
                x = wide(p[voxel * g.k + of]);
                u = (coefficients[of] * x - coefficients[g.k + of]) *
                    weight(square_of(image + voxel * g.c, centres + of * 2, g), g);
            }
            tiles[i] = x;
            tiles[count + i] = u;
        });
        __syncthreads();
        smooth_along_x(tiles, rows, along_x, g, at);
        smooth_along_x(tiles + count, rows + row_count, along_x, g, at);
        __syncthreads();
        i32 slot = (plane + g.reach_z) % slots * THREADS + threadIdx.x;
        rings[slot] = at.works ? smooth_along_y(rows, along_y, g) : 0.0f;
        rings[slots * THREADS + slot] = at.works ? smooth_along_y(rows + row_count, along_y, g) : 0.0f;
        i32 z = plane - g.reach_z;
        if (z < at.z || !at.works) continue;
        f32 q = smooth_along_z(rings, factors, z, g), smoothed = smooth_along_z(rings + slots * THREADS, factors, z, g);
        i64 voxel = (i64(z) * g.h + at.y + at.row) * g.w + at.x + at.voxel;
        f32 sum = smoothed + a * (q * weight(square_of(image + voxel * g.c, of_class, g), g));
        for (i32 channel = 0; channel < g.c; channel++)
            sum += coefficients[i64(2 + channel) * g.k + class_] *
                   difference(wide(image[voxel * g.c + channel]), of_class + i64(channel) * g.k * 2);
        out[voxel * g.k + class_] = narrow<REAL>(scale * sum);
    }
}
