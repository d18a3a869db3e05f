// Softmax over rows of channels, or its logarithm, and the gradient of either from the output.
//
// Where CHANNELS says how many there are, few, a thread holds whole rows in registers, of 16 bytes or more, and reads and
// writes them in packs of 16 bytes. Otherwise (CHANNELS=0) `lanes` threads of a warp share a row, read it number by number
// so that neighbouring threads read neighbouring numbers, and read it again from a cache for each further pass.
// No shared memory. Memory moves the minimum of one read and one write forward, two reads and one write backward; an
// exponential takes about 10 operations a number, so memory is the bottleneck. Both work in place.
//
// instances: REAL=f32,f16,bf16 LOG=0,1 CHANNELS=0,2,4,8,16
// targets: sm_75 sm_80 sm_90a

// As `max`, but what is not a number is passed over, as on the CPU.
DEVICE inline f32 greater(f32 most, f32 x) { return x > most ? x : most; }

#if CHANNELS > 0

// Numbers that a thread holds.
constexpr int HELD = CHANNELS > PACK<REAL> ? CHANNELS : PACK<REAL>;

DEVICE inline void read(f32 (&x)[HELD], const REAL* from, i64 at, i64 count) {
#pragma unroll
    for (int i = 0; i < HELD; i += PACK<REAL>) {
        Wide<REAL> v = load_wide(from, at + i, count);
#pragma unroll
        for (int j = 0; j < PACK<REAL>; j++) x[i + j] = v[j];
    }
}

DEVICE inline void write(REAL* to, const f32 (&x)[HELD], i64 at, i64 count) {
#pragma unroll
    for (int i = 0; i < HELD; i += PACK<REAL>) {
        Wide<REAL> v;
#pragma unroll
        for (int j = 0; j < PACK<REAL>; j++) v[j] = x[i + j];
        store_narrow(to, at + i, count, v);
    }
}

KERNEL BOUNDS(256, 4) forward(REAL* out, const REAL* x, i64 rows, i32 channels, i32 lanes) {
    i64 count = rows * CHANNELS, step = (i64)gridDim.x * blockDim.x * HELD;
    for (i64 at = ((i64)blockIdx.x * blockDim.x + threadIdx.x) * HELD; at < count; at += step) {
        f32 v[HELD];
        read(v, x, at, count);
#pragma unroll
        for (int row = 0; row < HELD; row += CHANNELS) {
            f32 most = v[row], sum = 0.f;
#pragma unroll
            for (int i = 1; i < CHANNELS; i++) most = greater(most, v[row + i]);
#pragma unroll
            for (int i = 0; i < CHANNELS; i++) {
                f32 shifted = v[row + i] - most, e = expf(shifted);
                sum += e;
                v[row + i] = LOG ? shifted : e;
            }
            sum = LOG ? logf(sum) : 1.f / sum;
#pragma unroll
            for (int i = 0; i < CHANNELS; i++) v[row + i] = LOG ? v[row + i] - sum : v[row + i] * sum;
        }
        write(out, v, at, count);
    }
}

KERNEL BOUNDS(256, 4) backward(REAL* out, const REAL* grad, const REAL* y, i64 rows, i32 channels, i32 lanes) {
    i64 count = rows * CHANNELS, step = (i64)gridDim.x * blockDim.x * HELD;
    for (i64 at = ((i64)blockIdx.x * blockDim.x + threadIdx.x) * HELD; at < count; at += step) {
        f32 g[HELD], v[HELD];
        read(g, grad, at, count);
        read(v, y, at, count);
#pragma unroll
        for (int row = 0; row < HELD; row += CHANNELS) {
            f32 sum = 0.f;
#pragma unroll
            for (int i = row; i < row + CHANNELS; i++) sum += LOG ? g[i] : g[i] * v[i];
#pragma unroll
            for (int i = row; i < row + CHANNELS; i++) g[i] = LOG ? g[i] - expf(v[i]) * sum : v[i] * (g[i] - sum);
        }
        write(out, g, at, count);
    }
}

#else

// The sum over the `lanes` threads of a row, in each of them.
DEVICE inline f32 row_sum(f32 v, i32 lanes) {
    for (i32 i = lanes / 2; i > 0; i /= 2) v += __shfl_xor_sync(0xffffffffu, v, i);
    return v;
}

// Every thread of a warp goes through the loops over rows as often as the others, since they exchange numbers.
KERNEL BOUNDS(256, 4) forward(REAL* out, const REAL* x, i64 rows, i32 channels, i32 lanes) {
    i32 lane = threadIdx.x & (lanes - 1), of_block = blockDim.x / lanes;
    for (i64 first = (i64)blockIdx.x * of_block; first < rows; first += (i64)gridDim.x * of_block) {
        i64 row = first + threadIdx.x / lanes;
        i32 width = row < rows ? channels : 0;
        const REAL* from = x + row * channels;
        REAL* to = out + row * channels;
        f32 most = -infinity();
        for (i32 i = lane; i < width; i += lanes) most = greater(most, wide(from[i]));
        for (i32 i = lanes / 2; i > 0; i /= 2) most = greater(most, __shfl_xor_sync(0xffffffffu, most, i));
        f32 sum = 0.f;
        for (i32 i = lane; i < width; i += lanes) sum += expf(wide(from[i]) - most);
        sum = row_sum(sum, lanes);
        sum = LOG ? logf(sum) : 1.f / sum;
        for (i32 i = lane; i < width; i += lanes) {
            f32 shifted = wide(from[i]) - most;
            to[i] = narrow<REAL>(LOG ? shifted - sum : expf(shifted) * sum);
        }
    }
}

KERNEL BOUNDS(256, 4) backward(REAL* out, const REAL* grad, const REAL* y, i64 rows, i32 channels, i32 lanes) {
    i32 lane = threadIdx.x & (lanes - 1), of_block = blockDim.x / lanes;
    for (i64 first = (i64)blockIdx.x * of_block; first < rows; first += (i64)gridDim.x * of_block) {
        i64 row = first + threadIdx.x / lanes, start = row * channels;
        i32 width = row < rows ? channels : 0;
        f32 sum = 0.f;
        for (i32 i = lane; i < width; i += lanes) {
            f32 g = wide(grad[start + i]);
            sum += LOG ? g : g * wide(y[start + i]);
        }
        sum = row_sum(sum, lanes);
        for (i32 i = lane; i < width; i += lanes) {
            f32 g = wide(grad[start + i]), v = wide(y[start + i]);
            out[start + i] = narrow<REAL>(LOG ? g - expf(v) * sum : v * (g - sum));
        }
    }
}

#endif
