// 3D convolution of stride 1 with windows up to 3x3x3 on Hopper, channels last, as a product of matrices on wgmma: rows are
// 256 output voxels (4x8x8), columns TILE_COLUMNS output channels, and the sum runs over taps and input channels, 64 at a
// time. The data gradient is the same sum with the taps of the weights backwards.
//
// Per 64 input channels the copy engine brings the voxels and their border, up to 6x10x10 rows of 128 bytes, once; all taps
// read them from there: each lane of `ldmatrix` names its own row, so a tap is only an offset, and padding is what the
// copy engine writes where the tensor ends. Of each tap the TILE_COLUMNS x 64 weights (row n: the inputs of output n) come
// through a ring of SLOTS tiles, and wgmma reads them from shared memory.
//
// Threads: two groups of four warps compute, 128 rows each, sums in registers; one thread of a third fetches. Blocks take
// tiles one after the other, so that the next tile's fetches run beside the last one's stores.
// Registers: at its start the kernel must have exactly 168 a thread, of which the fetching group hands on what it does not
// need: 384 x 168 = 256 x 240 + 128 x 24. With fewer the computing groups would wait for ever for registers that nobody
// gives up, with more (they come by eights) a block would not fit a multiprocessor's 65,536. So the budget is a number to
// be met, not a limit.
// Shared memory: 2 x 76,800 bytes of voxels, SLOTS x TILE_COLUMNS x 128 of weights (65,536 for both widths), barriers; one
// block a multiprocessor.
// Intensity, TILE_COLUMNS 128, 3x3x3, per tile and 64 inputs: 113 MFLOP for 77 kB of voxels and 442 kB of weights (which all
// blocks read and the L2 cache holds): 218 FLOP a byte from L2, where a tile of 128x128 fetched per tap has 64.
// instances: REAL=f16,bf16 TILE_COLUMNS=64,128
// targets: sm_90a
// budget: conv3d_hopper_sums registers==168 shared=0

constexpr i32 BOX_D = 4, BOX_H = 8, BOX_W = 8;  // output voxels of a tile: 256 rows
constexpr i32 DEEP = 64;                        // input channels at a time
constexpr i32 VOXELS = 6 * 10 * 10 * 128;       // bytes of a box with its border, for windows of 3
constexpr i32 TILE = TILE_COLUMNS * 128;        // bytes of the weights of a tap
constexpr i32 SLOTS = TILE_COLUMNS == 64 ? 8 : 4;
constexpr i32 WARPS = 8;                        // that compute

struct Geometry {
    i32 n, d, h, w;         // of the output
    i32 inputs, outputs;    // channels: multiples of 64 and of TILE_COLUMNS
    i32 kd, kh, kw;         // the window
    i32 pd, ph, pw;         // padding before the first voxel
    i32 backwards;          // whether tap t uses the weights of the last tap but t
    i32 boxes_d, boxes_h, boxes_w, columns, tiles;
    i32 activation;
    f32 setting;
};

// A tile's place, from its number: columns first, so that neighbours in time read the same voxels.
struct Place {
    i32 column, w, h, d, n;
};
DEVICE inline Place place_of(i32 tile, const Geometry& g) {
    Place p;
    p.column = tile % g.columns * TILE_COLUMNS;
    tile /= g.columns;
    p.w = tile % g.boxes_w * BOX_W;
    tile /= g.boxes_w;
    p.h = tile % g.boxes_h * BOX_H;
    tile /= g.boxes_h;
    p.d = tile % g.boxes_d * BOX_D;
    p.n = tile / g.boxes_d;
    return p;
}

// Where a ring of shared tiles stands, and the parity of the phase in which its slot was last turned over.
template <i32 COUNT> struct Ring {
    i32 slot = 0;
    u32 parity = 0;
    DEVICE void next() {
        if (++slot == COUNT) slot = 0, parity ^= 1;
    }
};

struct Shared {
    u8 *voxels, *weights;  // the first of each ring
    Barrier *voxels_here, *voxels_free, *weights_here, *weights_free;

    DEVICE explicit Shared(u8* smem)
        : voxels(smem), weights(smem + 2 * VOXELS),
          voxels_here(reinterpret_cast<Barrier*>(smem + 2 * VOXELS + SLOTS * TILE)), voxels_free(voxels_here + 2),
          weights_here(voxels_here + 4), weights_free(weights_here + SLOTS) {}
};

// What the fetching thread does for all tiles of its block.
DEVICE inline void fetch(const TensorMap* x, const TensorMap* weights, const Geometry& g, const Shared& s) {
    Ring<2> voxels;
    Ring<SLOTS> tiles;
    const i32 taps = g.kd * g.kh * g.kw;
    const u32 bytes = u32(BOX_D + g.kd - 1) * (BOX_H + g.kh - 1) * (BOX_W + g.kw - 1) * 128;
    for (i32 tile = blockIdx.x; tile < g.tiles; tile += gridDim.x) {
        const Place p = place_of(tile, g);
        for (i32 from = 0; from < g.inputs; from += DEEP) {
            wait(s.voxels_free + voxels.slot, voxels.parity ^ 1);
            arrive_expecting(s.voxels_here + voxels.slot, bytes);
            copy_box(s.voxels + voxels.slot * VOXELS, x, s.voxels_here + voxels.slot, {from, p.w - g.pw, p.h - g.ph, p.d - g.pd, p.n});
            voxels.next();
            for (i32 tap = 0; tap < taps; tap++) {
                wait(s.weights_free + tiles.slot, tiles.parity ^ 1);
                arrive_expecting(s.weights_here + tiles.slot, TILE);
                copy_box(s.weights + tiles.slot * TILE, weights, s.weights_here + tiles.slot,
                         {from, p.column, g.backwards ? taps - 1 - tap : tap});
                tiles.next();
            }
        }
    }
}

// sums += the voxels of one tap times its weights. `row` is the row of shared memory that this lane names for each half.
DEVICE inline void add_tap(f32 (&sums)[2][TILE_COLUMNS / 2], const u8* voxels, const i32 (&row)[2], const u8* weights) {
    const i32 lane = threadIdx.x % 32;
    u32 left[2][DEEP / 16][4];
#pragma unroll
    for (i32 half = 0; half < 2; half++)
#pragma unroll
        for (i32 k = 0; k < DEEP / 16; k++) {
            const i32 piece = (2 * k + lane / 16) ^ (row[half] & 7);
            ldmatrix_x4(left[half][k], voxels + row[half] * 128 + piece * 16);
        }
    wgmma_begin();
#pragma unroll
    for (i32 k = 0; k < DEEP / 16; k++) {
        const u64 right = matrix_of_rows(weights, 16 * k);
#pragma unroll
        for (i32 half = 0; half < 2; half++) wgmma<TILE_COLUMNS>(sums[half], left[half][k], right, REAL{});
    }
    wgmma_commit();
    wgmma_wait<0>();
}

// Afterwards lane t of four holds in `v[i]` what lane i held in `v[t]`.
DEVICE inline void transpose_four(u32 (&v)[4]) {
    const bool odd = threadIdx.x & 1, upper = threadIdx.x & 2;
#pragma unroll
    for (i32 i = 0; i < 4; i += 2) {
        const u32 got = __shfl_xor_sync(0xffffffffu, odd ? v[i] : v[i + 1], 1);
        v[i] = odd ? got : v[i];
        v[i + 1] = odd ? v[i + 1] : got;
    }
#pragma unroll
    for (i32 i = 0; i < 2; i++) {
        const u32 got = __shfl_xor_sync(0xffffffffu, upper ? v[i] : v[i + 2], 2);
        v[i] = upper ? got : v[i];
        v[i + 2] = upper ? v[i + 2] : got;
    }
}

// Bias, activation, rounding, and the stores of one half: lanes exchange pairs so that each writes 16 bytes.
DEVICE inline void finish(const f32 (&sums)[TILE_COLUMNS / 2], i32 first_row, REAL* y, const REAL* bias, const Place& p,
                          const Geometry& g) {
    const i32 lane = threadIdx.x % 32;
#pragma unroll
    for (i32 lower = 0; lower < 2; lower++) {
        const i32 row = first_row + lane / 4 + 8 * lower;
        const i32 w = p.w + row % BOX_W, h = p.h + row / BOX_W % BOX_H, d = p.d + row / (BOX_W * BOX_H);
        const bool inside = w < g.w && h < g.h && d < g.d;
        REAL* to = y + ((((i64)p.n * g.d + d) * g.h + h) * g.w + w) * g.outputs + p.column;
#pragma unroll
        for (i32 group = 0; group < TILE_COLUMNS / 32; group++) {
            u32 pairs[4];
#pragma unroll
            for (i32 j = 0; j < 4; j++) {
                const i32 column = 32 * group + 8 * j + 2 * (lane % 4);
                f32 v[2];
#pragma unroll
                for (i32 i = 0; i < 2; i++) {
                    v[i] = sums[4 * (4 * group + j) + 2 * lower + i];
                    if (bias) v[i] += wide(bias[p.column + column + i]);
                }
                activate(g.activation, v, g.setting);
                pairs[j] = narrow2<REAL>(v[0], v[1]);
            }
            transpose_four(pairs);
            if (inside)
                store(reinterpret_cast<u32*>(to + 32 * group + 8 * (lane % 4)),
                      Pack<u32, 4>{{pairs[0], pairs[1], pairs[2], pairs[3]}});
        }
    }
}

// What each computing warp does for all tiles of its block.
DEVICE inline void compute(REAL* y, const REAL* bias, const Geometry& g, const Shared& s) {
    const i32 lane = threadIdx.x % 32, warp = threadIdx.x / 32;
    const i32 high = BOX_H + g.kh - 1, wide_ = BOX_W + g.kw - 1;
    // The rows of this warp: 16 of each half of its group's 128.
    i32 first_row[2], base[2];
#pragma unroll
    for (i32 half = 0; half < 2; half++) {
        first_row[half] = warp / 4 * 128 + half * 64 + warp % 4 * 16;
        const i32 row = first_row[half] + lane % 16;
        base[half] = (row / (BOX_W * BOX_H) * high + row / BOX_W % BOX_H) * wide_ + row % BOX_W;
    }
    Ring<2> voxels;
    Ring<SLOTS> tiles;
    for (i32 tile = blockIdx.x; tile < g.tiles; tile += gridDim.x) {
        f32 sums[2][TILE_COLUMNS / 2];
#pragma unroll
        for (i32 i = 0; i < TILE_COLUMNS / 2; i++) sums[0][i] = sums[1][i] = 0.0f;
        for (i32 from = 0; from < g.inputs; from += DEEP) {
            wait(s.voxels_here + voxels.slot, voxels.parity);
            for (i32 kd = 0; kd < g.kd; kd++)
                for (i32 kh = 0; kh < g.kh; kh++)
                    for (i32 kw = 0; kw < g.kw; kw++) {
                        const i32 shift = (kd * high + kh) * wide_ + kw;
                        const i32 row[2] = {base[0] + shift, base[1] + shift};
                        wait(s.weights_here + tiles.slot, tiles.parity);
                        add_tap(sums, s.voxels + voxels.slot * VOXELS, row, s.weights + tiles.slot * TILE);
                        __syncwarp();
                        if (lane == 0) arrive(s.weights_free + tiles.slot);
                        tiles.next();
                    }
            if (lane == 0) arrive(s.voxels_free + voxels.slot);
            voxels.next();
        }
        const Place p = place_of(tile, g);
        finish(sums[0], first_row[0], y, bias, p, g);
        finish(sums[1], first_row[1], y, bias, p, g);
    }
}

KERNEL BOUNDS(384, 1) conv3d_hopper_sums(REAL* __restrict__ y, const __grid_constant__ TensorMap x, const __grid_constant__ TensorMap weights,
                             const REAL* __restrict__ bias, const __grid_constant__ Geometry g) {
    DYNAMIC_SHARED;
    const Shared s(smem);
    if (threadIdx.x == 0) {
        for (i32 i = 0; i < 2; i++) {
            make_barrier(s.voxels_here + i, 1);
            make_barrier(s.voxels_free + i, WARPS);
        }
        for (i32 i = 0; i < SLOTS; i++) {
            make_barrier(s.weights_here + i, 1);
            make_barrier(s.weights_free + i, WARPS);
        }
        barriers_made();
    }
    __syncthreads();
    if (threadIdx.x < WARPS * 32) {
        registers_up<240>();
        compute(y, bias, g, s);
    } else {
        registers_down<24>();
        if (threadIdx.x == WARPS * 32) fetch(&x, &weights, g, s);
    }
}
