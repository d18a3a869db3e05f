// Softmax over rows of few channels, or its logarithm, and the gradient of either from the output.
//
// CHANNELS is a power of two, so that whole rows are whole packs of 16 bytes or the other way round: a thread holds one
// pack or one row, whichever is more, in registers, and a grid strides over the array. No shared memory. Memory moves the
// minimum of one read and one write forward, two reads and one write backward; an exponential takes about 10 operations a
// number, so memory is the bottleneck. Both work in place.
//
// instances: REAL=f32,f16,bf16 LOG=0,1 CHANNELS=2,4,8,16
// targets: sm_75 sm_80 sm_90a
// budget: forward registers=64 shared=0
// budget: backward registers=64 shared=0

// As `max`, but what is not a number is passed over, as on the CPU.
DEVICE inline f32 greater(f32 most, f32 x) { return x > most ? x : most; }

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

KERNEL BOUNDS(256, 4) forward(REAL* out, const REAL* x, i64 count) {
    i64 step = (i64)gridDim.x * blockDim.x * HELD;
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

KERNEL BOUNDS(256, 4) backward(REAL* out, const REAL* grad, const REAL* y, i64 count) {
    i64 step = (i64)gridDim.x * blockDim.x * HELD;
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
