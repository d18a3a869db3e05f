// Sums over the middle axis of `[outer, count, inner]`, cut into `splits` parts of `rows` rows that are summed each on its
// own: `[outer, splits, inner]`. What is cut is summed up by a second run over the parts, and so on; the cuts depend on the
// shape only, so the sums are the same bits each time. Everything is added in f32.
//
// `sum_rows` is for inner = 1: `lanes` threads of a warp take a part, a pack of 16 bytes each at a time. `sum_columns` is
// for the others: threads lie along `columns` packs of a row and down the rows, and the sums of one column are put together
// in shared memory in order. Each number is read once, the minimum; one addition a number, so memory is the bottleneck.
//
// instances: IN=f32,f16,bf16 OUT=f32
// instances: IN=f16 OUT=f16
// instances: IN=bf16 OUT=bf16
// instances: IN=f32 OUT=f16,bf16
// targets: sm_75 sm_80 sm_90a
// budget: sum_rows registers=36 shared=0
// budget: sum_columns registers=45 shared=8192

struct Sums {
    i64 outer, count, inner;
    // Numbers of `x` before those that are summed.
    i64 skipped;
    // Parts that the middle axis is cut into, and the rows of each.
    i64 splits, rows;
    // What sums are multiplied by.
    f32 factor;
    // Threads that share a part of one column, or that lie along a row.
    i32 lanes;
    // Numbers that a thread takes of a row: those of a pack, or one.
    i32 width;
};

template <int N> DEVICE inline f32 sum_of(const Wide<IN, N>& x) {
    f32 sum = 0.f;
#pragma unroll
    for (int i = 0; i < N; i++) sum += x[i];
    return sum;
}

KERNEL BOUNDS(256, 4) sum_rows(OUT* out, const IN* x, Sums s) {
    constexpr int N = PACK<IN>;
    i32 lane = threadIdx.x & (s.lanes - 1);
    i64 part = quotient((i64)blockIdx.x * blockDim.x + threadIdx.x, s.lanes);
    bool active = part < s.outer * s.splits;
    f32 sum = 0.f;
    if (active) {
        i64 row = quotient(part, s.splits), first = (part - row * s.splits) * s.rows;
        i64 end = min(first + s.rows, s.count);
        const IN* p = x + s.skipped + row * s.count;
        if (s.width == N) {
#pragma unroll 4
            for (i64 at = first + lane * N; at < end; at += s.lanes * N) sum += sum_of<N>(load_wide(p, at, end));
        } else {
#pragma unroll 4
            for (i64 at = first + lane; at < end; at += s.lanes) sum += wide(p[at]);
        }
    }
    sum = lanes_sum(sum, s.lanes);
    if (active && lane == 0) out[part] = narrow<OUT>(sum * s.factor);
}

// `scratch` holds the sums of 256 threads.
template <int N> DEVICE inline void columns(OUT* out, const IN* x, const Sums& s, f32* scratch) {
    i64 units = s.inner / N, tiles = (units + s.lanes - 1) / s.lanes;
    i64 part = quotient(blockIdx.x, tiles);
    i32 along = threadIdx.x % s.lanes, down = threadIdx.x / s.lanes, depth = 256 / s.lanes;
    i64 unit = (blockIdx.x - part * tiles) * s.lanes + along;
    i64 block = quotient(part, s.splits), first = (part - block * s.splits) * s.rows;
    i64 end = min(first + s.rows, s.count);
    f32 sums[N] = {};
    if (unit < units && down < depth) {
        const IN* p = x + s.skipped + block * s.count * s.inner + unit * N;
#pragma unroll 4
        for (i64 row = first + down; row < end; row += depth) {
            Wide<IN, N> v = widened<N>(p + row * s.inner);
#pragma unroll
            for (int i = 0; i < N; i++) sums[i] += v[i];
        }
    }
    // Columns next to each other, so that the banks of shared memory are.
#pragma unroll
    for (int i = 0; i < N; i++) scratch[i * 256 + threadIdx.x] = sums[i];
    __syncthreads();
    for (i32 task = threadIdx.x; task < s.lanes * N; task += 256) {
        i32 number = task / s.lanes, column = task % s.lanes;
        i64 unit = (blockIdx.x - part * tiles) * s.lanes + column;
        f32 sum = 0.f;
        for (i32 i = 0; i < depth; i++) sum += scratch[number * 256 + i * s.lanes + column];
        if (unit < units) out[part * s.inner + unit * N + number] = narrow<OUT>(sum * s.factor);
    }
}

KERNEL BOUNDS(256, 4) sum_columns(OUT* out, const IN* x, Sums s) {
    __shared__ f32 scratch[256 * PACK<IN>];
    if (s.width == 1) columns<1>(out, x, s, scratch);
    else columns<PACK<IN>>(out, x, s, scratch);
}
