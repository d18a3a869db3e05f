// The sums of a convolution into voxels on the tensor cores: the convolution, its data gradient, the transposed one.
//
// An implicit matrix product: rows are the output voxels of one phase (see links.cuh), columns the output channels, and
// the depth runs over taps and input channels. A block of 4 warps makes TILE_M x TILE_N sums, WARP_M x WARP_N a warp; the
// depth passes through shared memory in steps of 64 bytes, three stages of cp.async deep. A thread copies the same 16 bytes
// of the depth for TILE_M / 32 voxels, so it follows one tap and channel; of a voxel it keeps the place of its first tap
// and which taps exist. The depth runs over all taps of 128 bytes of channels, then of the next, and voxels are copied
// through the first-level cache: what taps have in common is there. The sums leave through shared memory, in 16-byte
// stores, after bias and activation. Where tiles are too few for the device, blocks share the depth of a tile, and
// finish_sums.cu adds up their parts.
//
// Tile 256x64: 128 threads of at most 240 registers, 2 blocks a multiprocessor, 62 KiB of shared memory for 16-bit values,
// so that as much is left for the cache as the taps of a slice need. A step of 32 copies 20 KiB for 1.05 MFLOP: 51 FLOP a
// byte from the first-level cache, three times as many a byte from L2 for a row of three taps.
// Shared memory moves 64 bytes of fragments, 40 of copies and 40 of cache hits for each cycle of the tensor cores at full
// rate, of the 128 that it can: it stops 16-bit sums at nine tenths of the rate of `mma.sync`, which on Hopper is five
// eighths of that of wgmma (hopper.cu). With tf32, products take twice the time for the same bytes.
// Paper estimate, 64 to 64 channels, 3x3x3, 64^3, batch 8: 464 GFLOP; at 60 % of 620 TFLOP/s, what `mma.sync` gives of an
// H100's (H200's) 989, 1.2 ms; 268 MB in and 268 MB out take 0.16 ms at 3.35 TB/s (0.11 ms at 4.8 TB/s).
//
// instances: REAL=f32,f16,bf16 WARP_M=64 WARP_N=32,48,64 WARPS_N=1
// instances: REAL=f32,f16,bf16 WARP_M=32 WARP_N=32 WARPS_N=2
// targets: sm_80 sm_90a
// budget: conv3d_matrix_sums registers=240 shared=0

constexpr i32 THREADS = 128, STAGES = 3;
constexpr i32 TILE_M = THREADS / 32 / WARPS_N * WARP_M, TILE_N = WARPS_N * WARP_N;
/// Lanes that share a chunk of the depth, and voxels that each of them copies.
constexpr i32 LANES = THREADS / 4, VOXELS = TILE_M / LANES;
/// Channels whose taps are gone through together: those of 128 bytes.
constexpr i32 SLICE = 2 * DEPTH<REAL>;
/// No voxel has this tap.
constexpr u32 NONE = 1u << 31;

typedef Along<REAL> Voxels;                   // [voxel][depth]
typedef Across<REAL, TILE_N> Weights;         // [depth][output channel]
typedef Across<f32, WARP_N / 2> Staged;  // half of a warp's sums, [voxel][output channel]

constexpr i32 VOXEL_BYTES = Voxels::bytes(TILE_M), STAGE_BYTES = VOXEL_BYTES + Weights::bytes(TILE_N);
static_assert(THREADS / 32 * WARP_M * Staged::PITCH <= STAGES * STAGE_BYTES, "sums leave through the memory of the stages");

/// How the depth of each sum is cut up among blocks.
struct Cut {
    i32 parts;   // 1 where it is not
    i32 steps;   // of the depth, of each part
    i64 voxels;  // that are written, of the whole batch
};

struct MatrixSums {
    LinkAxis axes[3];
    i32 rows;  // output voxels of the largest phase, of the whole batch
    i32 input_channels, output_channels;
    i32 tiles_n;
    i32 to_fine;
    i32 activation;
    f32 setting;
    Cut cut;
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

/// Writes `out`, or where the depth is cut up, sums of each part in f32 `[part, voxel, output channel]`.
KERNEL BOUNDS(128, 2) conv3d_matrix_sums(REAL* out, f32* parts, const REAL* x, const REAL* w, const REAL* bias, MatrixSums p) {
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
    const i32 part = block % p.cut.parts;
    const u32 m0 = block / p.cut.parts * TILE_M;
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
    i32 slice = 0, width = min(channels, SLICE), channel = 0, z = 0, y = 0, x_tap = 0;
    u32 need = 0, reach = 0;
    i64 tap_weights = 0;
    const i32 all_taps = taps[0] * taps[1] * taps[2], all_steps = (all_taps * channels + DEPTH<REAL> - 1) / DEPTH<REAL>;
    const i32 first_step = min(part * p.cut.steps, all_steps), steps = min(p.cut.steps, all_steps - first_step);
    bool more = steps > 0;
    if (more && part > 0) {
        const i32 first = first_step * DEPTH<REAL>;
        slice = first / (all_taps * SLICE) * SLICE;
        width = min(channels - slice, SLICE);
        const i32 within = first - slice * all_taps, tap = within / width;
        channel = within - tap * width;
        z = tap / (taps[1] * taps[2]);
        y = tap / taps[2] % taps[1];
        x_tap = tap % taps[2];
    }
    channel += chunk * CHUNK<REAL>;
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

    // The weights that this thread copies, of CHUNK rows of TILE_N: where they lie from the chunk's first on, negative for
    // none, and where they go.
    constexpr i32 ROW = TILE_N / CHUNK<REAL>, ITEMS = (TILE_N + LANES - 1) / LANES;
    i32 weight_from[ITEMS], weight_to[ITEMS];
#pragma unroll
    for (i32 i = 0; i < ITEMS; i++) {
        i32 item = member + LANES * i, k = item / ROW, n = n0 + item % ROW * CHUNK<REAL>;
        weight_from[i] = n < p.output_channels ? k * p.output_channels + n : -1;
        weight_to[i] = Weights::offset(chunk * CHUNK<REAL> + k, item % ROW);
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
        const REAL* of_chunk = w + tap_weights + i64(slice + channel) * p.output_channels;
#pragma unroll
        for (i32 i = 0; i < ITEMS; i++) {
            if (TILE_N % LANES != 0 && member + LANES * i >= TILE_N) break;
            // A source that is not read must be aligned all the same.
            cp_async16(weights + weight_to[i], of_chunk + max(weight_from[i], 0), more && weight_from[i] >= 0);
        }
        channel += DEPTH<REAL>;
        if (channel >= width) follow();
    };

    for (i32 step = 0; step < STAGES - 1; step++) {
        if (step < steps) copy(step);
        cp_async_commit();
    }
    constexpr i32 M = WARP_M / 16, N = WARP_N / 8;
    f32 sums[M][N][4] = {};
    const i32 warp_m = warp / WARPS_N * WARP_M, warp_n = warp % WARPS_N * WARP_N;
    const Fragments<REAL, Voxels, false> left(warp_m);
    const Fragments<REAL, Weights, true> right(warp_n);
    i32 full = 0, empty = STAGES - 1;
    for (i32 step = 0; step < steps; step++) {
        cp_async_wait<STAGES - 2>();
        __syncthreads();
        // Into the stage that all have left behind at the barrier.
        if (step + STAGES - 1 < steps) copy(empty);
        cp_async_commit();
        const u8* voxels = smem + full * STAGE_BYTES;
        empty = full;
        full = full + 1 < STAGES ? full + 1 : 0;
        add_product(sums, voxels, left, voxels + VOXEL_BYTES, right);
    }
    cp_async_wait<0>();
    __syncthreads();

    // Half of the warp's columns at a time.
    u8* staged = smem + warp * WARP_M * Staged::PITCH;
    constexpr i32 CHUNKS = WARP_N / 2 / CHUNK<REAL>;
#pragma unroll
    for (i32 half = 0; half < 2; half++) {
        __syncwarp();
#pragma unroll
        for (i32 j = 0; j < N / 2; j++)
#pragma unroll
            for (i32 i = 0; i < 2 * M; i++) {
                const f32(&sum)[4] = sums[i / 2][half * (N / 2) + j];
                f32* to = reinterpret_cast<f32*>(staged + (8 * i + (lane >> 2)) * Staged::PITCH) + 8 * j + 2 * (lane & 3);
                store(to, Pack<f32, 2>{{sum[i % 2 * 2], sum[i % 2 * 2 + 1]}});
            }
        __syncwarp();
#pragma unroll 1
        for (i32 i = lane; i < WARP_M * CHUNKS; i += 32) {
            const u32 row = m0 + warp_m + i / CHUNKS;
            const i32 n = i % CHUNKS * CHUNK<REAL>, column = n0 + warp_n + half * (WARP_N / 2) + n;
            const Place at = place_of(p, row);
            bool exists = row < u32(p.rows) && column < p.output_channels;
            i64 voxel = at.batch;
#pragma unroll
            for (i32 a = 0; a < 3; a++) {
                i32 to = phase[a].first + at.at[a] * phase[a].step;
                exists = exists && to < p.axes[a].outputs;
                voxel = voxel * p.axes[a].outputs + to;
            }
            if (!exists) continue;
            const f32* from = reinterpret_cast<const f32*>(staged + i / CHUNKS * Staged::PITCH) + n;
            if (parts != nullptr) {
                f32* to = parts + (part * p.cut.voxels + voxel) * p.output_channels + column;
#pragma unroll
                for (i32 e = 0; e < CHUNK<REAL>; e += 4) store(to + e, load<4>(from + e));
                continue;
            }
            Pack<REAL, CHUNK<REAL>> shift = {}, result;
            if (bias != nullptr) shift = load<CHUNK<REAL>>(bias + column);
            f32 values[CHUNK<REAL>];
#pragma unroll
            for (i32 e = 0; e < CHUNK<REAL>; e += 4) {
                const Pack<f32, 4> four = load<4>(from + e);
#pragma unroll
                for (i32 i = 0; i < 4; i++) values[e + i] = four.v[i] + wide(shift.v[e + i]);
            }
            activate(p.activation, values, p.setting);
#pragma unroll
            for (i32 e = 0; e < CHUNK<REAL>; e++) result.v[e] = narrow<REAL>(values[e]);
            store(out + voxel * p.output_channels + column, result);
        }
    }
}
