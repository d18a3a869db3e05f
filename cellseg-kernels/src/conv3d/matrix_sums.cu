// The sums of a convolution into voxels on the tensor cores: the convolution, its data gradient, the transposed one.
//
// An implicit matrix product: rows are the output voxels of one phase (see links.cuh), columns the output channels, and
// the depth runs over taps and input channels. A block of 4 warps makes TILE_M x TILE_N sums, WARP_M x WARP_N a warp; the
// depth passes through shared memory in steps of 64 bytes, four stages of cp.async deep. A thread copies the same 16 bytes
// of the depth for TILE_M / 32 voxels, so it follows one tap and channel; of a voxel it keeps the place of its first tap
// and which taps exist. The depth runs over all taps of 128 bytes of channels, then of the next, and voxels are copied
// through the first-level cache: what taps have in common is there. The sums leave through shared memory, in 16-byte
// stores, after bias and activation.
//
// Tile 256x64 (128x128): 128 threads, 2 blocks a multiprocessor, 85 KiB (70 KiB) of shared memory for 16-bit values; a
// slice of 32 takes 20 KiB (16 KiB) from L2 for 1.05 MFLOP: 51 (64) FLOP a byte, and 4 KiB of fragments a warp for 32
// products of 16x8x16. What stops it: L2 and shared memory, both at about two thirds of the rate of `mma.sync`.
//
// instances: REAL=f32,f16,bf16 TRANSPOSED=0,1 WARP_M=64 WARP_N=64 WARPS_N=1,2
// instances: REAL=f32,f16,bf16 TRANSPOSED=0,1 WARP_M=64 WARP_N=16,32,48 WARPS_N=1
// instances: REAL=f32,f16,bf16 TRANSPOSED=0,1 WARP_M=32 WARP_N=32 WARPS_N=2
// targets: sm_80 sm_90a
// budget: conv3d_matrix_sums registers=255 shared=0

constexpr i32 THREADS = 128, STAGES = 4;
constexpr i32 TILE_M = THREADS / 32 / WARPS_N * WARP_M, TILE_N = WARPS_N * WARP_N;
/// Lanes that share a chunk of the depth, and voxels that each of them copies.
constexpr i32 LANES = THREADS / 4, VOXELS = TILE_M / LANES;
/// Channels whose taps are gone through together: those of 128 bytes.
constexpr i32 SLICE = 2 * DEPTH<REAL>;
/// No voxel has this tap.
constexpr u32 NONE = 1u << 31;

typedef Along<REAL> Voxels;
#if TRANSPOSED
typedef Along<REAL> Weights;  // [output channel][depth]
#else
typedef Across<REAL, TILE_N> Weights;  // [depth][output channel]
#endif
typedef Across<REAL, WARP_N> Staged;  // a warp's sums, [voxel][output channel]

constexpr i32 VOXEL_BYTES = Voxels::bytes(TILE_M), STAGE_BYTES = VOXEL_BYTES + Weights::bytes(TILE_N);

struct MatrixSums {
    LinkAxis axes[3];
    i32 rows;  // output voxels of the largest phase, of the whole batch
    i32 input_channels, output_channels;
    i32 tiles_n;
    i32 to_fine;
    i32 activation;
    f32 setting;
};

/// An output's place within its phase.
struct Place {
    i32 batch, at[3];
};

DEVICE inline Place place_of(const MatrixSums& p, u32 row) {
    Place place;
    u32 z_rows = divide(row, p.axes[2].counts);
    place.at[2] = row - z_rows * p.axes[2].counts.divisor;
    u32 volumes = divide(z_rows, p.axes[1].counts);
    place.at[1] = z_rows - volumes * p.axes[1].counts.divisor;
    place.batch = divide(volumes, p.axes[0].counts);
    place.at[0] = volumes - place.batch * p.axes[0].counts.divisor;
    return place;
}

KERNEL BOUNDS(128, 2) conv3d_matrix_sums(REAL* out, const REAL* x, const REAL* w, const REAL* bias, MatrixSums p) {
    DYNAMIC_SHARED;
    const i32 thread = threadIdx.x, lane = thread & 31, warp = thread >> 5;
    // The chunk of the depth that this thread copies, and its number among those who copy it: eight neighbours write eight
    // rows of `Along`, or a whole line of `Across`.
    const i32 chunk = thread >> 3 & 3, member = (thread & 7) + 8 * warp;
    u32 block = blockIdx.x;
    const i32 n0 = block % p.tiles_n * TILE_N;
    block /= p.tiles_n;
    Phase phase[3];
#pragma unroll
    for (i32 i = 2; i >= 0; i--) {
        phase[i] = phase_of(p.axes[i], p.to_fine, block % p.axes[i].phases);
        block /= p.axes[i].phases;
    }
    const u32 m0 = block * TILE_M;
    const i32 extents[3] = {p.axes[0].inputs, p.axes[1].inputs, p.axes[2].inputs};
    const i32 taps[3] = {phase[0].taps, phase[1].taps, phase[2].taps};
    const i32 channels = p.input_channels;

    // Of each voxel, where its first tap reads, which may be outside, and which taps are inside.
    u32 origin[VOXELS], mask[VOXELS];
#pragma unroll
    for (i32 i = 0; i < VOXELS; i++) {
        u32 row = m0 + member + LANES * i;
        Place at = place_of(p, row);
        i32 from[3];
        bool exists = row < u32(p.rows);
#pragma unroll
        for (i32 a = 0; a < 3; a++) {
            exists = exists && phase[a].first + at.at[a] * phase[a].step < p.axes[a].outputs;
            from[a] = phase[a].start + at.at[a] * phase[a].stride;
        }
        origin[i] = ((u32(at.batch) * extents[0] + from[0]) * extents[1] + from[1]) * extents[2] + from[2];
        mask[i] = exists ? reachable_mask(from[0], from[1], from[2], extents, taps) : 0;
    }

    // What this thread copies next: its slice of channels, its channel within it, its tap, and what follows from the tap.
    i32 slice = 0, width = min(channels, SLICE), channel = chunk * CHUNK<REAL>, z = 0, y = 0, x_tap = 0;
    u32 need = 0, reach = 0;
    i64 tap_weights = 0;
    bool more = taps[0] > 0 && taps[1] > 0 && taps[2] > 0 && channels > 0;
    auto follow = [&] {
        while (more && channel >= width) {
            channel -= width;
            if (++x_tap < taps[2]) continue;
            x_tap = 0;
            if (++y < taps[1]) continue;
            y = 0;
            if (++z < taps[0]) continue;
            z = 0;
            slice += SLICE;
            width = min(channels - slice, SLICE);
            more = width > 0;
        }
        need = needed(z, y, x_tap);
        reach = (u32(z) * extents[1] + y) * extents[2] + x_tap;
        i32 tap_z = phase[0].tap_first + z * phase[0].tap_step, tap_y = phase[1].tap_first + y * phase[1].tap_step;
        i32 tap_x = phase[2].tap_first + x_tap * phase[2].tap_step;
        i64 tap = (i64(tap_z) * p.axes[1].kernel + tap_y) * p.axes[2].kernel + tap_x;
        tap_weights = tap * channels * p.output_channels;
    };
    follow();

    // The weights that this thread copies of its chunk: where they lie from the chunk's first on, negative for none, and
    // where they go.
    constexpr i32 WEIGHTS = TRANSPOSED ? TILE_N : CHUNK<REAL> * (TILE_N / CHUNK<REAL>), ITEMS = (WEIGHTS + LANES - 1) / LANES;
    i32 weight_from[ITEMS], weight_to[ITEMS];
#pragma unroll
    for (i32 i = 0; i < ITEMS; i++) {
        i32 item = member + LANES * i;
#if TRANSPOSED
        i32 n = n0 + item;
        weight_from[i] = item < WEIGHTS && n < p.output_channels ? n * channels : -1;
        weight_to[i] = Weights::offset(item, chunk);
#else
        constexpr i32 ROW = TILE_N / CHUNK<REAL>;
        i32 k = item / ROW, n = n0 + item % ROW * CHUNK<REAL>;
        weight_from[i] = n < p.output_channels ? k * p.output_channels + n : -1;
        weight_to[i] = Weights::offset(chunk * CHUNK<REAL> + k, item % ROW);
#endif
    }
    const i32 voxel_to = Voxels::offset(member, chunk);
    const u32 voxel_bytes = channels * u32(sizeof(REAL));

    auto copy = [&](i32 stage) {
        u8* voxels = smem + stage * STAGE_BYTES;
        u8* weights = voxels + VOXEL_BYTES;
        // As numbers, because they may point outside where nothing is read.
        const u64 from = u64(x + slice + channel);
        const u32 wanted = more ? need : NONE;
#pragma unroll
        for (i32 i = 0; i < VOXELS; i++) {
            const void* voxel = reinterpret_cast<const void*>(from + u64(origin[i] + reach) * voxel_bytes);
            // Lanes are a multiple of 8, so the swizzle is the same for all voxels of a thread.
            cp_async16_cached(voxels + voxel_to + i * Voxels::bytes(LANES), voxel, (mask[i] & wanted) == wanted);
        }
        const REAL* of_chunk = w + tap_weights + i64(slice + channel) * (TRANSPOSED ? 1 : p.output_channels);
#pragma unroll
        for (i32 i = 0; i < ITEMS; i++) {
            if (WEIGHTS % LANES != 0 && member + LANES * i >= WEIGHTS) break;
            cp_async16(weights + weight_to[i], of_chunk + weight_from[i], more && weight_from[i] >= 0);
        }
        channel += DEPTH<REAL>;
        if (channel >= width) follow();
    };

    const i32 depth = taps[0] * taps[1] * taps[2] * channels, steps = (depth + DEPTH<REAL> - 1) / DEPTH<REAL>;
    for (i32 step = 0; step < STAGES - 1; step++) {
        if (step < steps) copy(step);
        cp_async_commit();
    }
    constexpr i32 M = WARP_M / 16, N = WARP_N / 8;
    f32 sums[M][N][4] = {};
    const i32 warp_m = warp / WARPS_N * WARP_M, warp_n = warp % WARPS_N * WARP_N;
    const Fragments<REAL, Voxels, false> left(warp_m);
    const Fragments<REAL, Weights, true> right(warp_n);
    for (i32 step = 0; step < steps; step++) {
        cp_async_wait<STAGES - 2>();
        __syncthreads();
        // Into the stage that all have left behind at the barrier.
        if (step + STAGES - 1 < steps) copy((step + STAGES - 1) % STAGES);
        cp_async_commit();
        const u8* voxels = smem + step % STAGES * STAGE_BYTES;
        add_product(sums, voxels, left, voxels + VOXEL_BYTES, right);
    }
    cp_async_wait<0>();
    __syncthreads();

    u8* staged = smem + warp * WARP_M * Staged::PITCH;
#pragma unroll
    for (i32 j = 0; j < N; j++) {
        i32 n = 8 * j + 2 * (lane & 3), column = n0 + warp_n + n;
        f32 shift[2] = {0.f, 0.f};
        if (bias != nullptr && column < p.output_channels) shift[0] = wide(bias[column]), shift[1] = wide(bias[column + 1]);
#pragma unroll
        for (i32 i = 0; i < 2 * M; i++) {
            Pack<REAL, 2> pair;
#pragma unroll
            for (i32 e = 0; e < 2; e++)
                pair.v[e] = narrow<REAL>(activate(p.activation, sums[i / 2][j][i % 2 * 2 + e] + shift[e], p.setting));
            store<2>(reinterpret_cast<REAL*>(staged + (8 * i + (lane >> 2)) * Staged::PITCH) + n, pair);
        }
    }
    __syncwarp();
    constexpr i32 CHUNKS = WARP_N / CHUNK<REAL>;
    for (i32 i = lane; i < WARP_M * CHUNKS; i += 32) {
        u32 row = m0 + warp_m + i / CHUNKS;
        i32 n = n0 + warp_n + i % CHUNKS * CHUNK<REAL>;
        Place at = place_of(p, row);
        bool exists = row < u32(p.rows) && n < p.output_channels;
        i64 voxel = at.batch;
#pragma unroll
        for (i32 a = 0; a < 3; a++) {
            i32 to = phase[a].first + at.at[a] * phase[a].step;
            exists = exists && to < p.axes[a].outputs;
            voxel = voxel * p.axes[a].outputs + to;
        }
        if (!exists) continue;
        auto sums_of_chunk = load<CHUNK<REAL>>(reinterpret_cast<const REAL*>(staged + Staged::offset(i / CHUNKS, i % CHUNKS)));
        store(out + voxel * p.output_channels + n, sums_of_chunk);
    }
}
