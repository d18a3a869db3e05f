// Convolutions without tensor cores: sums into voxels and weight gradients in f32, of any numbers of channels and taps.
//
// For devices before sm_80, for `Precision::Strict` in f32, and where channels are few: first and last layers. Both are
// implicit matrix products of a table of voxels and a table of (tap, channel): of the sums into voxels, voxels are the rows
// and taps the depth, of the weight gradient taps are the rows and voxels the depth. A block of 256 threads makes
// TILE_M x TILE_N sums, THREAD_M x THREAD_N a thread; slices of 16 of the depth go through registers, which fill while the
// slice before is multiplied, to shared memory. 64-bit places throughout.
//
// Tile 128x64: 256 threads, 2 blocks a multiprocessor at least, 17 KiB of shared memory; three 16-byte loads from shared
// memory for 32 FMA, so the FMA units bound it where channels are many. 256x8: rows of few outputs; the memory bounds it.
// 32x64: the weight gradient of a first layer, whose rows are its few taps.
//
// instances: REAL=f32,f16,bf16 TILE_M=128 TILE_N=64 THREAD_M=8 THREAD_N=4
// instances: REAL=f32,f16,bf16 TILE_M=256 TILE_N=8 THREAD_M=2 THREAD_N=4
// instances: REAL=f32,f16,bf16 TILE_M=32 TILE_N=64 THREAD_M=2 THREAD_N=4
// targets: sm_75 sm_80 sm_90a
// budget: conv3d_plain_sums registers=128 shared=24320
// budget: conv3d_plain_weight_gradient registers=128 shared=22016

constexpr i32 THREADS = 256, SLICE = 16;
constexpr i32 THREADS_N = TILE_N / THREAD_N;
static_assert(TILE_M / THREAD_M * THREADS_N == THREADS, "every thread has its sums");

/// A voxel whose tap (0, 0, 0) reads `at`, which may be outside.
struct Voxel {
    i32 batch, at[3];
};

/// A tap, relative to the first, and a channel.
struct Tap {
    i32 ahead[3], channel;
};

/// In a `Voxel` or a `Tap`: no voxel is this far ahead.
constexpr i32 NOWHERE = -(1 << 30);

/// What is read: volumes `[n, d, h, w, c]`.
struct Volumes {
    const REAL* x;
    i32 extents[3], channels;

    DEVICE f32 read(const Voxel& voxel, const Tap& tap) const {
        i64 index = voxel.batch;
#pragma unroll
        for (i32 a = 0; a < 3; a++) {
            i32 at = voxel.at[a] + tap.ahead[a];
            if (u32(at) >= u32(extents[a])) return 0.f;
            index = index * extents[a] + at;
        }
        return wide(x[index * channels + tap.channel]);
    }
};

/// One side of a product: [k][x], padded so that lanes along k write to several banks.
template <i32 WIDTH> struct Operand {
    static constexpr i32 PITCH = WIDTH + 4, ITEMS = (SLICE * WIDTH + THREADS - 1) / THREADS;

    /// Calls `each(item, k, x)` for what this thread fetches, with neighbouring lanes along k or along x.
    template <bool ALONG_DEPTH, typename Each> static DEVICE void each(Each each) {
#pragma unroll
        for (i32 item = 0; item < ITEMS; item++) {
            i32 i = threadIdx.x + THREADS * item;
            if (SLICE * WIDTH % THREADS != 0 && i >= SLICE * WIDTH) break;
            if (ALONG_DEPTH)
                each(item, i % SLICE, i / SLICE);
            else
                each(item, i / WIDTH, i % WIDTH);
        }
    }
};

/// sums = over the depth, in slices, of `left(step, k, m) * right(step, k, n)`. `prepare(step)` comes before all reads of a
/// step, and a barrier between them.
template <bool ALONG_DEPTH, typename Prepare, typename Left, typename Right>
DEVICE inline void multiply(f32 (&sums)[THREAD_M][THREAD_N], i32 steps, Prepare prepare, Left left, Right right) {
    typedef Operand<TILE_M> Rows;
    typedef Operand<TILE_N> Columns;
    __shared__ __align__(16) f32 rows[SLICE * Rows::PITCH], columns[SLICE * Columns::PITCH];
    f32 of_rows[Rows::ITEMS] = {}, of_columns[Columns::ITEMS] = {};
    auto fetch = [&](i32 step) {
        Rows::each<ALONG_DEPTH>([&](i32 item, i32 k, i32 m) { of_rows[item] = left(step, k, m); });
        Columns::each<false>([&](i32 item, i32 k, i32 n) { of_columns[item] = right(step, k, n); });
    };
    const i32 m = threadIdx.x / THREADS_N * THREAD_M, n = threadIdx.x % THREADS_N * THREAD_N;
    prepare(0);
    __syncthreads();
    if (steps > 0) fetch(0);
    for (i32 step = 0; step < steps; step++) {
        Rows::each<ALONG_DEPTH>([&](i32 item, i32 k, i32 m) { rows[k * Rows::PITCH + m] = of_rows[item]; });
        Columns::each<false>([&](i32 item, i32 k, i32 n) { columns[k * Columns::PITCH + n] = of_columns[item]; });
        prepare(step + 1);
        __syncthreads();
        if (step + 1 < steps) fetch(step + 1);
#pragma unroll
        for (i32 k = 0; k < SLICE; k++) {
            constexpr i32 TOGETHER = THREAD_M < 4 ? THREAD_M : 4;
            f32 a[THREAD_M];
#pragma unroll
            for (i32 i = 0; i < THREAD_M; i += TOGETHER) {
                auto pack = load<TOGETHER>(rows + k * Rows::PITCH + m + i);
#pragma unroll
                for (i32 j = 0; j < TOGETHER; j++) a[i + j] = pack.v[j];
            }
            auto b = load<THREAD_N>(columns + k * Columns::PITCH + n);
#pragma unroll
            for (i32 i = 0; i < THREAD_M; i++)
#pragma unroll
                for (i32 j = 0; j < THREAD_N; j++) sums[i][j] += a[i] * b.v[j];
        }
        __syncthreads();
    }
}

struct PlainSums {
    LinkAxis axes[3];
    i64 rows;  // output voxels of the largest phase, of the whole batch
    i32 input_channels, output_channels;
    i32 tiles_n;
    i32 to_fine;
    i32 activation;
    f32 setting;
};

KERNEL BOUNDS(256, 2) conv3d_plain_sums(REAL* out, const REAL* x, const REAL* w, const REAL* bias, PlainSums p) {
    __shared__ Voxel voxels[TILE_M];
    __shared__ i64 targets[TILE_M];  // where the output voxel lies; negative where there is none
    __shared__ Tap taps[2][SLICE];
    __shared__ i64 weights[2][SLICE];  // where the weights of a tap and input channel begin; negative beyond the last
    const i32 thread = threadIdx.x;
    u32 block = blockIdx.x;
    const i32 n0 = block % p.tiles_n * TILE_N;
    block /= p.tiles_n;
    Phase phase[3];
#pragma unroll
    for (i32 a = 2; a >= 0; a--) {
        phase[a] = phase_of(p.axes[a], p.to_fine, block % p.axes[a].phases);
        block /= p.axes[a].phases;
    }
    for (i32 i = thread; i < TILE_M; i += THREADS) {
        i64 row = i64(block) * TILE_M + i;
        bool exists = row < p.rows;
        Voxel voxel;
        i32 to[3];
#pragma unroll
        for (i32 a = 2; a >= 0; a--) {
            i32 j = row % p.axes[a].counts.divisor;
            row /= p.axes[a].counts.divisor;
            to[a] = phase[a].first + j * phase[a].step;
            exists = exists && to[a] < p.axes[a].outputs;
            voxel.at[a] = exists ? phase[a].start + j * phase[a].stride : NOWHERE;
        }
        voxel.batch = row;
        if (!exists) voxel.at[0] = NOWHERE;
        voxels[i] = voxel;
        targets[i] = exists ? ((row * p.axes[0].outputs + to[0]) * p.axes[1].outputs + to[1]) * p.axes[2].outputs + to[2] : -1;
    }
    const i32 depth = phase[0].taps * phase[1].taps * phase[2].taps * p.input_channels;
    auto prepare = [&](i32 step) {
        if (thread >= SLICE) return;
        i32 k = step * SLICE + thread;
        if (k >= depth) {
            taps[step & 1][thread] = Tap{{NOWHERE, 0, 0}, 0};
            weights[step & 1][thread] = -1;
            return;
        }
        Tap tap;
        tap.channel = k % p.input_channels;
        i32 rest = k / p.input_channels;
        i32 of_kernel[3];
#pragma unroll
        for (i32 a = 2; a >= 0; a--) {
            tap.ahead[a] = rest % phase[a].taps;
            rest /= phase[a].taps;
            of_kernel[a] = phase[a].tap_first + tap.ahead[a] * phase[a].tap_step;
        }
        i64 row = (i64(of_kernel[0]) * p.axes[1].kernel + of_kernel[1]) * p.axes[2].kernel + of_kernel[2];
        taps[step & 1][thread] = tap;
        weights[step & 1][thread] = (row * p.input_channels + tap.channel) * p.output_channels;
    };
    const Volumes volumes{x, {p.axes[0].inputs, p.axes[1].inputs, p.axes[2].inputs}, p.input_channels};
    f32 sums[THREAD_M][THREAD_N] = {};
    multiply<true>(
        sums, (depth + SLICE - 1) / SLICE, prepare,
        [&](i32 step, i32 k, i32 m) { return volumes.read(voxels[m], taps[step & 1][k]); },
        [&](i32 step, i32 k, i32 n) {
            i64 row = weights[step & 1][k];
            n += n0;
            if (row < 0 || n >= p.output_channels) return 0.f;
            return wide(w[row + n]);
        });

    const i32 n = n0 + thread % THREADS_N * THREAD_N;
    f32 shift[THREAD_N];
#pragma unroll
    for (i32 j = 0; j < THREAD_N; j++) shift[j] = bias != nullptr && n + j < p.output_channels ? wide(bias[n + j]) : 0.f;
#pragma unroll
    for (i32 i = 0; i < THREAD_M; i++) {
        i64 target = targets[thread / THREADS_N * THREAD_M + i];
        if (target < 0) continue;
        REAL* to = out + target * p.output_channels + n;
        Pack<REAL, THREAD_N> pack;
#pragma unroll
        for (i32 j = 0; j < THREAD_N; j++) sums[i][j] += shift[j];
        activate(p.activation, sums[i], p.setting);
#pragma unroll
        for (i32 j = 0; j < THREAD_N; j++) pack.v[j] = narrow<REAL>(sums[i][j]);
        if (p.output_channels % THREAD_N == 0) {
            if (n < p.output_channels) store(to, pack);
        } else {
#pragma unroll
            for (i32 j = 0; j < THREAD_N; j++)
                if (n + j < p.output_channels) to[j] = pack.v[j];
        }
    }
}

struct PlainWeightGradient {
    LinkAxis axes[3];  // towards coarse voxels
    i64 voxels;        // coarse ones, of the whole batch
    i64 part;          // of them, what a block sums over
    i32 fine_channels, coarse_channels;
    i32 tiles_m, tiles_n;
    i32 transposed;  // parts are [tap, coarse channel, fine channel], else [tap, fine channel, coarse channel]
};

/// f32 sums of one part of the voxels.
KERNEL BOUNDS(256, 2) conv3d_plain_weight_gradient(f32* parts, const REAL* x, const REAL* g, PlainWeightGradient p) {
    __shared__ Tap taps[TILE_M];
    __shared__ Voxel voxels[2][SLICE];
    const i32 thread = threadIdx.x;
    u32 block = blockIdx.x;
    const i32 n0 = block % p.tiles_n * TILE_N;
    block /= p.tiles_n;
    const i32 m0 = block % p.tiles_m * TILE_M;
    const i64 part = block / p.tiles_m, first = part * p.part, end = first + p.part < p.voxels ? first + p.part : p.voxels;
    const i32 rows = p.axes[0].kernel * p.axes[1].kernel * p.axes[2].kernel * p.fine_channels;
    for (i32 i = thread; i < TILE_M; i += THREADS) {
        Tap tap{{NOWHERE, 0, 0}, 0};
        if (m0 + i < rows) {
            i32 rest = (m0 + i) / p.fine_channels;
            tap.channel = m0 + i - rest * p.fine_channels;
#pragma unroll
            for (i32 a = 2; a >= 0; a--) {
                tap.ahead[a] = rest % p.axes[a].kernel;
                rest /= p.axes[a].kernel;
            }
        }
        taps[i] = tap;
    }
    auto prepare = [&](i32 step) {
        if (thread >= SLICE) return;
        i64 rest = first + i64(step) * SLICE + thread;
        Voxel voxel{0, {NOWHERE, 0, 0}};
        if (rest < end) {
#pragma unroll
            for (i32 a = 2; a >= 0; a--) {
                voxel.at[a] = i32(rest % p.axes[a].outputs) * p.axes[a].stride - p.axes[a].padding;
                rest /= p.axes[a].outputs;
            }
            voxel.batch = rest;
        }
        voxels[step & 1][thread] = voxel;
    };
    const Volumes volumes{x, {p.axes[0].inputs, p.axes[1].inputs, p.axes[2].inputs}, p.fine_channels};
    f32 sums[THREAD_M][THREAD_N] = {};
    multiply<false>(
        sums, i32((end - first + SLICE - 1) / SLICE), prepare,
        [&](i32 step, i32 k, i32 m) { return volumes.read(voxels[step & 1][k], taps[m]); },
        [&](i32 step, i32 k, i32 n) {
            i64 voxel = first + i64(step) * SLICE + k;
            n += n0;
            return voxel < end && n < p.coarse_channels ? wide(g[voxel * p.coarse_channels + n]) : 0.f;
        });
#pragma unroll
    for (i32 i = 0; i < THREAD_M; i++) {
        i32 row = m0 + thread / THREADS_N * THREAD_M + i;
        if (row >= rows) continue;
        i32 tap = row / p.fine_channels, channel = row - tap * p.fine_channels;
        i64 to = part * rows * p.coarse_channels;
        to += p.transposed ? i64(tap) * p.fine_channels * p.coarse_channels + channel : i64(row) * p.coarse_channels;
#pragma unroll
        for (i32 j = 0; j < THREAD_N; j++) {
            i32 n = n0 + thread % THREADS_N * THREAD_N + j;
            if (n < p.coarse_channels) parts[to + i64(n) * (p.transposed ? p.fine_channels : 1)] = sums[i][j];
        }
    }
}
