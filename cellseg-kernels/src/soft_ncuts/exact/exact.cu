// SoftNCuts by pairs: each voxel gathers the weights of its window, computed where they are used and forgotten.
//
// pair_sums  A block of 256 threads has a tile of 32 x 32 voxels of one plane, four along y a thread, and up to CLASSES
//            classes. Plane by plane of the window, image and probabilities of the tile with its halo come to shared
//            memory (2 x 17.2 kB at radius 2, two classes, one channel: the next plane is read while one is worked on);
//            a number read from it serves the four voxels. Sums stay in registers: 4 (CLASSES + 1). For each weight: two
//            instructions for its exponent, one exponential, 1 + CLASSES FMA.
//            Ordered pairs: a weight is computed for either voxel. Handing it to the other through shared memory costs
//            a store, a load and a barrier, more than the exponential (16 a cycle and multiprocessor) that it saves.
//            Bound by exponentials: 125 a voxel, on paper 8.8 us for 64^3 on an H100 or H200 at 1.755 GHz.
// combine    grad (a_k within + b_k degree), voxel by voxel. Bound by bytes: (2 k + 1) f32 a voxel.
//
// RADIUS=0, CHANNELS=0: of any size, looped over. Exponents are in powers of two: the image is multiplied by
// sqrt(log2 e) / sigma_intensity as it is read.
//
// instances: REAL=f32,f16,bf16 CLASSES=2,4,8 CHANNELS=1 RADIUS=2
// instances: REAL=f32,f16,bf16 CLASSES=4 CHANNELS=0 RADIUS=0
// targets: sm_75 sm_80 sm_90a
// budget: pair_sums registers=128 shared=1024
// budget: combine registers=38 shared=0

struct Pairs {
    i32 n, d, h, w, k, c;
    i32 radius_z, radius_y, radius_x;  // of the window, here no larger than the extents where RADIUS is 0
    i32 recording;                     // whether `within` and `degree` are wanted
    f32 near;                          // log2(e) / sigma_space^2
    f32 scale;                         // sqrt(log2(e)) / sigma_intensity
};

constexpr i32 THREADS = 256;
constexpr i32 SIDE = 32;  // of a tile, along x and y
constexpr i32 EACH = 4;   // voxels of a thread, along y

/// Reads the tile of plane `z` with its halo: the image, [c][rows][length], then probabilities, [rows][length][CLASSES].
/// Where there is no voxel the image is infinite, which makes weights zero, and probabilities are zero.
DEVICE inline void read_plane(const REAL* p, const REAL* image, f32* to, i32 z, i32 y, i32 x, i32 first, i32 rows,
                              i32 length, i32 channels, const Pairs& g) {
    f32* probabilities = to + channels * rows * length;
    for (i32 row = threadIdx.x / SIDE; row < rows; row += THREADS / SIDE)
        for (i32 column = threadIdx.x % SIDE; column < length; column += SIDE) {
            bool exists = y + row >= 0 && y + row < g.h && x + column >= 0 && x + column < g.w;
            i64 voxel = (i64(z) * g.h + y + row) * g.w + x + column;
            for (i32 channel = 0; channel < channels; channel++)
                to[(channel * rows + row) * length + column] =
                    exists ? wide(image[voxel * g.c + channel]) * g.scale : infinity();
            f32* of_voxel = probabilities + (row * length + column) * CLASSES;
#pragma unroll
            for (i32 j = 0; j < CLASSES; j++)
                of_voxel[j] = exists && first + j < g.k ? wide(p[voxel * g.k + first + j]) : 0.0f;
        }
}

/// `within` [n, d, h, w, k] is sum_j w_ij p_k(j), `degree` [n, d, h, w] is sum_j w_ij; `sums` [n][parts][2][k] holds each
/// tile's sum p within and sum p degree. Grid: class tiles, tiles along x, y, z, and items, the first innermost.
KERNEL BOUNDS(THREADS, 2) pair_sums(const REAL* p, const REAL* image, f32* within, f32* degree, f64* sums, Pairs g) {
    DYNAMIC_SHARED;
    const i32 channels = CHANNELS ? CHANNELS : g.c;
    const i32 radius_y = RADIUS ? RADIUS : g.radius_y, radius_x = RADIUS ? RADIUS : g.radius_x;
    const i32 radius_z = RADIUS ? RADIUS : g.radius_z;
    i32 class_tiles = ceil_div(g.k, CLASSES), across = ceil_div(g.w, SIDE), down = ceil_div(g.h, SIDE);
    u32 block = blockIdx.x;
    i32 first = i32(block % class_tiles) * CLASSES;
    block /= class_tiles;
    i64 part = block;  // through all items, as the sums are laid out
    i32 x = i32(block % across) * SIDE;
    block /= across;
    i32 y = i32(block % down) * SIDE;
    block /= down;
    i32 z = i32(block % g.d);
    i64 item = block / g.d, voxels = i64(g.d) * g.h * g.w;
    p += item * voxels * g.k;
    image += item * voxels * g.c;

    i32 rows = SIDE + 2 * radius_y, length = SIDE + 2 * radius_x, numbers = rows * length * (channels + CLASSES);
    f32* planes = reinterpret_cast<f32*>(smem);
    auto read = [&](i32 plane, i32 slot) {
        read_plane(p, image, planes + slot * numbers, plane, y - radius_y, x - radius_x, first, rows, length, channels, g);
    };
    i32 lane = threadIdx.x % SIDE, own_row = threadIdx.x / SIDE * EACH;
    i32 own_y = y + own_row, own_x = x + lane;

    f32 here[EACH], degrees[EACH] = {}, found[EACH][CLASSES] = {};
#pragma unroll
    for (i32 v = 0; v < EACH; v++)
        here[v] = own_x < g.w && own_y + v < g.h
                      ? wide(image[((i64(z) * g.h + own_y + v) * g.w + own_x) * g.c]) * g.scale
                      : 0.0f;

    i32 plane = max(z - radius_z, 0), end = min(z + radius_z + 1, g.d);
    read(plane, 0);
    for (i32 slot = 0; plane < end; plane++, slot ^= 1) {
        __syncthreads();
        if (plane + 1 < end) read(plane + 1, slot ^ 1);
        const f32* intensity = planes + slot * numbers + own_row * length + lane;
        const f32* probability = planes + slot * numbers + channels * rows * length + (own_row * length + lane) * CLASSES;
#pragma unroll
        for (i32 dx = -radius_x; dx <= radius_x; dx++) {
            f32 apart = -f32((plane - z) * (plane - z) + dx * dx) * g.near;
#pragma unroll
            for (i32 row = 0; row < EACH + 2 * radius_y; row++) {
                i32 at = row * length + dx + radius_x;
                f32 there = intensity[at], p_there[CLASSES];
#pragma unroll
                for (i32 j = 0; j < CLASSES; j++) p_there[j] = probability[at * CLASSES + j];
#pragma unroll
                for (i32 v = 0; v < EACH; v++) {
                    i32 dy = row - v - radius_y;
                    if (dy < -radius_y || dy > radius_y) continue;
                    f32 e = here[v] - there, exponent = apart - f32(dy * dy) * g.near - e * e;
                    if (CHANNELS == 0)
                        for (i32 channel = 1; channel < channels; channel++) {
                            const f32* of_channel = intensity + channel * rows * length;
                            // The thread's own voxel is seen by all its neighbours; its own plane is long gone.
                            i64 own = (i64(z) * g.h + min(own_y + v, g.h - 1)) * g.w + min(own_x, g.w - 1);
                            f32 difference = wide(image[own * g.c + channel]) * g.scale - of_channel[at];
                            exponent -= difference * difference;
                        }
                    f32 weight = exp2_fast(exponent);
                    degrees[v] += weight;
#pragma unroll
                    for (i32 j = 0; j < CLASSES; j++) found[v][j] += weight * p_there[j];
                }
            }
        }
    }

    f32 inside[CLASSES] = {}, all[CLASSES] = {};
#pragma unroll
    for (i32 v = 0; v < EACH; v++) {
        if (own_x >= g.w || own_y + v >= g.h) continue;
        i64 voxel = (i64(z) * g.h + own_y + v) * g.w + own_x;
        if (g.recording && first == 0) degree[item * voxels + voxel] = degrees[v];
#pragma unroll
        for (i32 j = 0; j < CLASSES; j++) {
            if (first + j >= g.k) continue;
            f32 own = wide(p[voxel * g.k + first + j]);
            inside[j] += own * found[v][j];
            all[j] += own * degrees[v];
            if (g.recording) within[(item * voxels + voxel) * g.k + first + j] = found[v][j];
        }
    }
#pragma unroll
    for (i32 j = 0; j < CLASSES; j++) {
        f64 of_inside = block_sum<THREADS>(f64(inside[j])), of_all = block_sum<THREADS>(f64(all[j]));
        if (threadIdx.x > 0 || first + j >= g.k) continue;
        sums[part * 2 * g.k + first + j] = of_inside;
        sums[(part * 2 + 1) * g.k + first + j] = of_all;
    }
}

/// The gradient of the probabilities, [n, d, h, w, k], for the gradient of the loss in `grad`. `coefficients` is
/// [n][2][k]. Grid: blocks of voxels, n.
KERNEL BOUNDS(THREADS, 4) combine(const REAL* grad, const f32* within, const f32* degree, const f32* coefficients, REAL* out, Pairs g) {
    i64 voxels = i64(g.d) * g.h * g.w, voxel = i64(blockIdx.x) * THREADS + threadIdx.x;
    if (voxel >= voxels) return;
    coefficients += i64(blockIdx.y) * 2 * g.k;
    voxel += blockIdx.y * voxels;
    f32 scale = wide(*grad), around = degree[voxel];
    for (i32 j = 0; j < g.k; j++)
        out[voxel * g.k + j] =
            narrow<REAL>(scale * (coefficients[j] * within[voxel * g.k + j] + coefficients[g.k + j] * around));
}
