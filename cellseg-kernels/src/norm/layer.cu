// The normalisation of each row of channels, and its gradients, where packs of 16 bytes fill a row.
//
// `lanes` threads of a warp share a row and hold it in registers, HELD packs each: a row is read once, and its variance is
// taken of distances from the mean. Forward reads and writes a number once, backward reads two and writes one, the
// minimum, with about 10 and 20 operations a number: memory is the bottleneck.
//
// The gradients of the scale and the shift are sums over rows: a block takes neighbouring rows, each thread those of its
// channels in registers, and writes the sums `[2, blocks, channels]`, which `reduce/sum.cu` puts together.
//
// instances: REAL=f32,f16,bf16 HELD=1,2,4
// targets: sm_75 sm_80 sm_90a
// budget: forward registers=119 shared=0
// budget: backward registers=198 shared=8192

struct Rows {
    i64 rows;
    // Rows of a block.
    i64 part;
    i32 channels;
    // Threads of a row: 1 to 32, a power of two.
    i32 lanes;
    f32 eps;
};

constexpr int N = PACK<REAL>;

// What a thread holds of a row.
struct Held {
    f32 v[HELD][N];
};

// Zeros beyond the end of the row, and where the thread has no row.
DEVICE inline Held read(const REAL* row, i32 channels, i32 lane, i32 lanes, bool active) {
    Held x;
#pragma unroll
    for (int k = 0; k < HELD; k++) {
        i32 at = (k * lanes + lane) * N;
        Wide<REAL, N> v = {};
        if (active && at < channels) v = widened<N>(row + at);
#pragma unroll
        for (int i = 0; i < N; i++) x.v[k][i] = v[i];
    }
    return x;
}

// Calls f(k, i, channel) for each number that a thread holds.
template <typename F> DEVICE inline void each(i32 channels, i32 lane, i32 lanes, F f) {
#pragma unroll
    for (int k = 0; k < HELD; k++) {
        i32 at = (k * lanes + lane) * N;
        if (at < channels) {
#pragma unroll
            for (int i = 0; i < N; i++) f(k, i, at + i);
        }
    }
}

DEVICE inline void write(REAL* row, const Held& x, i32 channels, i32 lane, i32 lanes) {
#pragma unroll
    for (int k = 0; k < HELD; k++) {
        i32 at = (k * lanes + lane) * N;
        Wide<REAL, N> v;
#pragma unroll
        for (int i = 0; i < N; i++) v[i] = x.v[k][i];
        if (at < channels) store_narrow<N>(row + at, v);
    }
}

// The mean and the reciprocal standard deviation of a row.
DEVICE inline void statistics(const Held& x, const Rows& r, i32 lane, f32& mean, f32& factor) {
    f32 sum = 0.f, squares = 0.f;
    each(r.channels, lane, r.lanes, [&](int k, int i, i32) { sum += x.v[k][i]; });
    mean = lanes_sum(sum, r.lanes) / (f32)r.channels;
    each(r.channels, lane, r.lanes, [&](int k, int i, i32) { squares += (x.v[k][i] - mean) * (x.v[k][i] - mean); });
    factor = 1.f / sqrtf(lanes_sum(squares, r.lanes) / (f32)r.channels + r.eps);
}

// Every thread of a warp goes through the loops over rows as often as the others, since they exchange numbers.
KERNEL BOUNDS(256, 2) forward(REAL* out, const REAL* x, const REAL* gamma, const REAL* beta, Rows r) {
    i32 lane = threadIdx.x & (r.lanes - 1), of_block = 256 / r.lanes;
    Held scale = read(gamma, r.channels, lane, r.lanes, true), shift = read(beta, r.channels, lane, r.lanes, true);
    for (i64 first = (i64)blockIdx.x * of_block; first < r.rows; first += (i64)gridDim.x * of_block) {
        i64 row = first + threadIdx.x / r.lanes;
        bool active = row < r.rows;
        Held v = read(x + row * r.channels, r.channels, lane, r.lanes, active);
        f32 mean, factor;
        statistics(v, r, lane, mean, factor);
        each(r.channels, lane, r.lanes, [&](int k, int i, i32) {
            v.v[k][i] = (v.v[k][i] - mean) * factor * scale.v[k][i] + shift.v[k][i];
        });
        if (active) write(out + row * r.channels, v, r.channels, lane, r.lanes);
    }
}

// `parts` are the gradients of the scale and the shift by the rows of each block, `[2, blocks, channels]`. Works in the
// place of `grad`.
KERNEL BOUNDS(256, 1) backward(REAL* out, f32* parts, const REAL* grad, const REAL* x, const REAL* gamma, Rows r) {
    __shared__ f32 scratch[256 * N];
    i32 lane = threadIdx.x & (r.lanes - 1), of_block = 256 / r.lanes;
    Held scale = read(gamma, r.channels, lane, r.lanes, true), of_scale = {}, of_shift = {};
    i64 start = blockIdx.x * r.part, end = min(start + r.part, r.rows);
    for (i64 first = start; first < end; first += of_block) {
        i64 row = first + threadIdx.x / r.lanes;
        bool active = row < end;
        Held v = read(x + row * r.channels, r.channels, lane, r.lanes, active);
        Held g = read(grad + row * r.channels, r.channels, lane, r.lanes, active);
        f32 mean, factor, plain = 0.f, product = 0.f;
        statistics(v, r, lane, mean, factor);
        each(r.channels, lane, r.lanes, [&](int k, int i, i32) {
            f32 u = (v.v[k][i] - mean) * factor;
            of_scale.v[k][i] += g.v[k][i] * u;
            of_shift.v[k][i] += g.v[k][i];
            g.v[k][i] *= scale.v[k][i];
            plain += g.v[k][i];
            product += g.v[k][i] * u;
            v.v[k][i] = u;
        });
        plain = lanes_sum(plain, r.lanes) / (f32)r.channels;
        product = lanes_sum(product, r.lanes) / (f32)r.channels;
        each(r.channels, lane, r.lanes,
             [&](int k, int i, i32) { g.v[k][i] = (g.v[k][i] - plain - v.v[k][i] * product) * factor; });
        if (active) write(out + row * r.channels, g, r.channels, lane, r.lanes);
    }
    // Each channel's sums over the rows of threads, in order.
    for (int term = 0; term < 2; term++) {
#pragma unroll
        for (int k = 0; k < HELD; k++) {
            __syncthreads();
#pragma unroll
            for (int i = 0; i < N; i++) scratch[i * 256 + threadIdx.x] = term ? of_shift.v[k][i] : of_scale.v[k][i];
            __syncthreads();
            for (i32 task = threadIdx.x; task < r.lanes * N; task += 256) {
                i32 i = task / r.lanes, along = task % r.lanes, channel = (k * r.lanes + along) * N + i;
                f32 sum = 0.f;
                for (i32 down = 0; down < of_block; down++) sum += scratch[i * 256 + down * r.lanes + along];
                if (channel < r.channels) parts[((i64)term * gridDim.x + blockIdx.x) * r.channels + channel] = sum;
            }
        }
    }
}
