// Volumes cut into windows, and put together again: copies of whole voxels, up to 16 bytes a thread and step.
//
// Threads go over the words of the output; 256 a block, no shared memory. Bound by bytes: each number once in, once out.
//
// instances: WORD=u16,u32,quad
// targets: sm_75 sm_80 sm_90a
// budget: partition registers=52 shared=0
// budget: reverse registers=40 shared=0

typedef Pack<u32, 4> quad;

struct Cut {
    i64 count;               // words of the output
    i32 words;               // of a voxel
    i32 d, h, w;             // of the volume
    i32 grid_z, grid_y, grid_x;
    i32 window_d, window_h, window_w;
    i32 shift_z, shift_y, shift_x;
};

constexpr i32 THREADS = 256;

/// Windows [n * windows, tokens, c] of volumes [n, d, h, w, c], zero where there is padding.
KERNEL BOUNDS(THREADS, 4) partition(const WORD* x, WORD* y, Cut g) {
    i32 tokens = g.window_d * g.window_h * g.window_w;
    for (i64 i = i64(blockIdx.x) * THREADS + threadIdx.x; i < g.count; i += i64(gridDim.x) * THREADS) {
        i64 voxel = quotient(i, g.words), window = quotient(voxel, tokens);
        i32 word = i32(i - voxel * g.words), token = i32(voxel - window * tokens);
        i64 row = quotient(window, g.grid_x), plane = quotient(row, g.grid_y), item = quotient(plane, g.grid_z);
        // Where the token was before the shift.
        auto before = [](i64 window, i32 at, i32 extent, i32 windows, i32 shift) {
            return (i32(window) * extent + at + shift) % (windows * extent);
        };
        i32 source_z = before(plane - item * g.grid_z, token / (g.window_h * g.window_w), g.window_d, g.grid_z, g.shift_z);
        i32 source_y = before(row - plane * g.grid_y, token / g.window_w % g.window_h, g.window_h, g.grid_y, g.shift_y);
        i32 source_x = before(window - row * g.grid_x, token % g.window_w, g.window_w, g.grid_x, g.shift_x);
        WORD value = {};
        if (source_z < g.d && source_y < g.h && source_x < g.w)
            value = x[(((item * g.d + source_z) * g.h + source_y) * g.w + source_x) * g.words + word];
        y[i] = value;
    }
}

/// Volumes [n, d, h, w, c] of windows [n * windows, tokens, c].
KERNEL BOUNDS(THREADS, 4) reverse(const WORD* x, WORD* y, Cut g) {
    for (i64 i = i64(blockIdx.x) * THREADS + threadIdx.x; i < g.count; i += i64(gridDim.x) * THREADS) {
        i64 voxel = quotient(i, g.words), row = quotient(voxel, g.w), plane = quotient(row, g.h), item = quotient(plane, g.d);
        i32 word = i32(i - voxel * g.words);
        // Where the shift puts a place.
        auto after = [](i64 place, i32 extent, i32 windows, i32 shift) {
            i32 moved = i32(place) - shift;
            return moved < 0 ? moved + extent * windows : moved;
        };
        i32 z = after(plane - item * g.d, g.window_d, g.grid_z, g.shift_z);
        i32 y_ = after(row - plane * g.h, g.window_h, g.grid_y, g.shift_y);
        i32 x_ = after(voxel - row * g.w, g.window_w, g.grid_x, g.shift_x);
        i64 window = ((item * g.grid_z + z / g.window_d) * g.grid_y + y_ / g.window_h) * g.grid_x + x_ / g.window_w;
        i32 token = (z % g.window_d * g.window_h + y_ % g.window_h) * g.window_w + x_ % g.window_w;
        y[i] = x[((window * g.window_d * g.window_h * g.window_w) + token) * g.words + word];
    }
}
