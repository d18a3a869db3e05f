// The weight gradient of a convolution on the tensor cores: sums over the links of each tap.
//
// Of the products x[fine voxel, a] * g[coarse voxel, b] the sums over coarse voxels are wanted for each tap, a and b: a
// matrix product whose rows are (tap, a), whose columns are b and whose depth runs over the coarse voxels of the batch.
// Both operands lie across the depth in memory (channels last), so fragments are loaded transposed. A block of 4 warps
// makes TILE_M x TILE_N sums of one part of the voxels and writes them as f32; a second kernel adds up the parts. A thread
// copies the same 16 bytes of a row, so it follows one tap; which voxels that tap reaches is looked up in a table that all
// threads fill, 128 voxels at a time.
//
// Tile 256x64: 128 threads of at most 222 registers, 2 blocks a multiprocessor, 65 KiB of shared memory for 16-bit values. A
// step of 32 voxels copies 20 KiB for 1.05 MFLOP: 51 FLOP a byte; the rows of a tile are 256 / channels taps, whose voxels
// the first-level cache holds. What stops it is shared memory, as in matrix_sums.cu.
// Paper estimate, 64 to 64 channels, 3x3x3, 64^3, batch 8: 464 GFLOP, at 60 % of 620 TFLOP/s 1.2 ms; the 64 parts of 442 kB
// are written and read in 0.02 ms.
//
// instances: REAL=f32,f16,bf16 WARP_M=64 WARP_N=32,48,64 WARPS_N=1
// instances: REAL=f32,f16,bf16 WARP_M=32 WARP_N=32 WARPS_N=2
// targets: sm_80 sm_90a
// budget: conv3d_matrix_weight_gradient registers=224 shared=2048

constexpr i32 THREADS = 128, STAGES = 3;
constexpr i32 TILE_M = THREADS / 32 / WARPS_N * WARP_M, TILE_N = WARPS_N * WARP_N;

typedef Across<REAL, TILE_M> Fine;    // [voxel][tap and channel of x]
typedef Across<REAL, TILE_N> Coarse;  // [voxel][channel of g]

constexpr i32 FINE_BYTES = Fine::bytes(TILE_M), STAGE_BYTES = FINE_BYTES + Coarse::bytes(TILE_N);

struct MatrixWeightGradient {
    LinkAxis axes[3];  // towards coarse voxels
    i32 voxels;        // coarse ones, of the whole batch
    i32 part;          // of them, what a block sums over
    i32 fine_channels, coarse_channels;
    i32 tiles_m, tiles_n;
    i32 transposed;  // parts are [tap, coarse channel, fine channel], else [tap, fine channel, coarse channel]
};

/// Where the first tap of a coarse voxel reads, and which of its taps reach a voxel.
struct Reach {
    u32 origin, mask;
};

DEVICE inline Reach reach_of(const MatrixWeightGradient& p, u32 voxel) {
    i32 from[3], extents[3], taps[3];
    u32 rest = voxel;
#pragma unroll
    for (i32 a = 2; a >= 0; a--) {
        const LinkAxis& axis = p.axes[a];
        u32 lines = divide(rest, axis.counts);
        from[a] = i32(rest - lines * axis.counts.divisor) * axis.stride - axis.padding;
        extents[a] = axis.inputs, taps[a] = axis.kernel;
        rest = lines;
    }
    return {((rest * extents[0] + from[0]) * extents[1] + from[1]) * extents[2] + from[2],
            reachable_mask(from[0], from[1], from[2], extents, taps)};
}

KERNEL BOUNDS(128, 2) conv3d_matrix_weight_gradient(f32* parts, const REAL* x, const REAL* g, MatrixWeightGradient p) {
    DYNAMIC_SHARED;
    __shared__ Reach reach[2][THREADS];
    const i32 thread = threadIdx.x, lane = thread & 31, warp = thread >> 5;
    u32 block = blockIdx.x;
    const i32 n0 = block % p.tiles_n * TILE_N;
    block /= p.tiles_n;
    const i32 m0 = block % p.tiles_m * TILE_M;
    const i32 part = block / p.tiles_m;
    const u32 first = u32(part) * p.part, end = first + p.part < u32(p.voxels) ? first + p.part : p.voxels;
    const i32 rows = p.axes[0].kernel * p.axes[1].kernel * p.axes[2].kernel * p.fine_channels;

    auto look_up = [&](i32 group) {
        u32 voxel = first + group * THREADS + thread;
        reach[group & 1][thread] = voxel < end ? reach_of(p, voxel) : Reach{0, 0};
    };

    // The chunk of a row that this thread copies, and the voxels of a slice that it does so for.
    constexpr i32 ROW = TILE_M / CHUNK<REAL>, VOXELS = ROW * DEPTH<REAL> / THREADS;
    const i32 chunk = thread % ROW, m = m0 + chunk * CHUNK<REAL>;
    const i32 tap = m / p.fine_channels, channel = m - tap * p.fine_channels;
    const i32 tap_zy = tap / p.axes[2].kernel, tap_x = tap - tap_zy * p.axes[2].kernel;
    const i32 tap_z = tap_zy / p.axes[1].kernel, tap_y = tap_zy - tap_z * p.axes[1].kernel;
    const u32 ahead = (u32(tap_z) * p.axes[1].inputs + tap_y) * p.axes[2].inputs + tap_x;
    // No voxel has the last bit.
    const u32 need = m < rows ? needed(tap_z, tap_y, tap_x) : 1u << 31;

    const i32 fine_to = Fine::offset(thread / ROW, chunk);
    const u32 fine_bytes = p.fine_channels * u32(sizeof(REAL));

    // Those of a row of g.
    constexpr i32 COARSE_ROW = TILE_N / CHUNK<REAL>, COARSE = DEPTH<REAL> * COARSE_ROW, ITEMS = (COARSE + THREADS - 1) / THREADS;
    i32 coarse_voxel[ITEMS], coarse_to[ITEMS];
    const REAL* coarse_from[ITEMS];
#pragma unroll
    for (i32 i = 0; i < ITEMS; i++) {
        i32 item = thread + THREADS * i, k = item / COARSE_ROW, n = n0 + item % COARSE_ROW * CHUNK<REAL>;
        coarse_from[i] = g + i64(first + k) * p.coarse_channels + n;
        coarse_to[i] = Coarse::offset(k, item % COARSE_ROW);
        // Of a column that is not there, behind the last.
        coarse_voxel[i] = n < p.coarse_channels ? k : p.part;
    }

    auto copy = [&](i32 step, i32 stage) {
        u8* fine = smem + stage * STAGE_BYTES;
        u8* coarse = fine + FINE_BYTES;
        const Reach* of_slice = reach[step * DEPTH<REAL> / THREADS & 1] + step * DEPTH<REAL> % THREADS + thread / ROW;
        // As numbers, because they may point outside where nothing is read.
        const u64 from = u64(x + channel);
#pragma unroll
        for (i32 i = 0; i < VOXELS; i++) {
            Reach at = of_slice[i * (THREADS / ROW)];
            const void* voxel = reinterpret_cast<const void*>(from + u64(at.origin + ahead) * fine_bytes);
            // Through the cache, where the next taps find it.
            cp_async16_cached(fine + fine_to + i * (THREADS / ROW) * Fine::PITCH, voxel, (at.mask & need) == need);
        }
        const i32 done = step * DEPTH<REAL>;
#pragma unroll
        for (i32 i = 0; i < ITEMS; i++) {
            if (COARSE % THREADS != 0 && thread + THREADS * i >= COARSE) break;
            const REAL* voxel = coarse_from[i] + i64(done) * p.coarse_channels;
            cp_async16(coarse + coarse_to[i], voxel, done + coarse_voxel[i] < i32(end - first));
        }
    };

    const i32 steps = (end - first + DEPTH<REAL> - 1) / DEPTH<REAL>;
    constexpr i32 AHEAD = STAGES - 1, STEPS = THREADS / DEPTH<REAL>;  // steps that one table serves
    static_assert(AHEAD <= STEPS, "copies reach into the next table at most");
    look_up(0);
    __syncthreads();
    for (i32 step = 0; step < AHEAD; step++) {
        if (step < steps) copy(step, step);
        cp_async_commit();
    }
    constexpr i32 M = WARP_M / 16, N = WARP_N / 8;
    f32 sums[M][N][4] = {};
    const i32 warp_m = warp / WARPS_N * WARP_M, warp_n = warp % WARPS_N * WARP_N;
    const Fragments<REAL, Fine, false> left(warp_m);
    const Fragments<REAL, Coarse, true> right(warp_n);
    i32 full = 0, empty = STAGES - 1;
    for (i32 step = 0; step < steps; step++) {
        cp_async_wait<STAGES - 2>();
        __syncthreads();
        // Into the stage that all have left behind at the barrier.
        if (step + AHEAD < steps) copy(step + AHEAD, empty);
        cp_async_commit();
        // The next table, in the place of the one that the last copies before the barrier had done with; its first reader is
        // a copy behind the next barrier.
        if (step % STEPS == 0) look_up(step / STEPS + 1);
        const u8* fine = smem + full * STAGE_BYTES;
        empty = full;
        full = full + 1 < STAGES ? full + 1 : 0;
        add_product(sums, fine, left, fine + FINE_BYTES, right);
    }
    cp_async_wait<0>();

    f32* to = parts + i64(part) * rows * p.coarse_channels;
#pragma unroll
    for (i32 i = 0; i < 2 * M; i++) {
        i32 row = m0 + warp_m + 8 * i + (lane >> 2);
        if (row >= rows) continue;
        i32 tap = row / p.fine_channels, channel = row - tap * p.fine_channels;
#pragma unroll
        for (i32 j = 0; j < N; j++) {
            i32 column = n0 + warp_n + 8 * j + 2 * (lane & 3);
            if (column >= p.coarse_channels) continue;
            Pack<f32, 2> pair{{sums[i / 2][j][i % 2 * 2], sums[i / 2][j][i % 2 * 2 + 1]}};
            if (p.transposed) {
                // Eight lanes write neighbours: whole sectors here too.
                f32* at = to + (i64(tap) * p.coarse_channels + column) * p.fine_channels + channel;
                at[0] = pair.v[0], at[p.fine_channels] = pair.v[1];
            } else {
                store(to + i64(row) * p.coarse_channels + column, pair);
            }
        }
    }
}
