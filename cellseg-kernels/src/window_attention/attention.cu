// Window attention on tensor cores, flash style: scores live in registers, probabilities are computed again for the gradient.
//
// Vocabulary: a block works on one head of one window (bias_gradient: of several windows in turn). It holds ROWS = 128
// tokens of one side as rows, 16 a warp, and goes through the tokens of the other side, COLUMNS at a time, which cp.async
// brings to shared memory while the tile before is worked on. Rows of a tile in shared memory are DIM + 8 numbers apart,
// so that neither ldmatrix nor 8-byte loads meet in a bank. f16 and bf16: mma.m16n8k16, sums in f32. f32: mma.m16n8k8 on
// tf32, each operand split in two (3 products for one), which keeps the precision of f32 (Ootomo and Yokota, 2022).
//
// forward             rows are queries; online softmax in powers of two; saves the logarithm of each row's sum.
// query_gradient      rows are queries: p = exp(score - logarithm), s = p (g . v - g . o), sum(s k). Also leaves g . o.
// key_value_gradient  rows are keys: the same scores turned, sum(p g) and sum(s q).
// bias_gradient       rows are queries, one tile of keys: sum of s over the windows of one share; table_gradient.cu
//                     adds them up by differences. No two threads ever add to the same number.
//
// The bias of a pair of tokens is one number of a head's table, which lies in shared memory (8.8 kB for 7^3): with
// place(z, y, x) = (z (2h - 1) + y) (2w - 1) + x its index is place(query) - place(key) + centre. Neighbouring rows meet in
// the same numbers, so a gather takes half of the cycles that the score's exponential takes in its own unit.
//
// Registers at DIM = 16, f16 or bf16: 128, 106, 122 and 128; heads of 64 numbers take up to 192, in f32 up to 252, and one
// block a multiprocessor. Shared memory there, with the table of 7^3: 28.2, 28.2, 28.2 and 24.4 kB. So registers let two
// blocks, 16 warps, on a multiprocessor.
//
// On paper, on an H100 or H200 (132 multiprocessors at 1.755 GHz), bf16, 125 windows of 343 tokens, 3 heads of 16 numbers:
// 44 M scores. forward: 2.8 GFLOP of products (2.9 us at 989 TFLOP/s dense), 16.5 MB of qkv and output (4.9 us at
// 3.35 TB/s, 3.4 at 4.8; 171 FLOPs a byte), 44 M exponentials at 16 a cycle and multiprocessor, 11.9 us: that is its bound,
// and the seven other instructions of a score take 10.4 us of the schedulers beside it. The gradient has three passes of one
// exponential and two to four products a score each: 36 us by the exponentials, about 60 in all. PyTorch's chain writes
// and reads the scores six to eight times forward, 88 MB each in bf16: 160 us and more at 3.35 TB/s, twice that backward.
//
// instances: REAL=f32,f16,bf16 DIM=16,32,64
// budget: forward registers=173 shared=0
// budget: query_gradient registers=193 shared=0
// budget: key_value_gradient registers=223 shared=0
// budget: bias_gradient registers=252 shared=0

constexpr i32 THREADS = 256;
constexpr i32 ROWS = THREADS / 32 * 16;
constexpr i32 FORWARD_COLUMNS = sizeof(REAL) * DIM > 64 ? 32 : 64;
constexpr bool LARGE = sizeof(REAL) == 4 && DIM > 16;  // operands that fill the registers
constexpr i32 GRADIENT_COLUMNS = LARGE ? 16 : 32;  // fewer, since scores and their gradients are in registers at once
constexpr i32 BIAS_COLUMNS = 32;
constexpr i32 PITCH = DIM + 8;
constexpr i32 MMA_DEPTH = sizeof(REAL) == 2 ? 16 : 8;  // of an mma
constexpr i32 STEPS = DIM / MMA_DEPTH;

/// Rows of a warp as the left operand of `mma`: 16 tokens, DIM numbers.
typedef u32 Operand[STEPS][4];
/// Scores of a warp: 16 rows, TILES times 8 columns, the results of one mma each.
template <i32 TILES> using Scores = f32[TILES][4];
/// Sums of a warp: 16 rows, DIM columns.
typedef f32 Sums[DIM / 8][4];

/// What a query leaves for the gradient.
struct Moments {
    f32 logarithm;  // of its sum of exponentials, to base 2
    f32 mean;       // g . o
};

/// d += a b in f32 by tf32: the parts that rounding leaves are multiplied as well, but for the product of two of them.
DEVICE inline void mma_split(f32 (&d)[4], const u32 (&a)[4], const u32 (&b)[2]) {
    u32 a_high[4], a_low[4], b_high[2], b_low[2];
#pragma unroll
    for (i32 i = 0; i < 4; i++) {
        a_high[i] = to_tf32(__uint_as_float(a[i]));
        a_low[i] = __float_as_uint(__uint_as_float(a[i]) - __uint_as_float(a_high[i]));
    }
#pragma unroll
    for (i32 i = 0; i < 2; i++) {
        b_high[i] = to_tf32(__uint_as_float(b[i]));
        b_low[i] = __float_as_uint(__uint_as_float(b[i]) - __uint_as_float(b_high[i]));
    }
    mma_1688_tf32(d, a_low, b_high);
    mma_1688_tf32(d, a_high, b_low);
    mma_1688_tf32(d, a_high, b_high);
}

/// The left operand from 16 rows in shared memory.
template <typename T> DEVICE inline void take_rows(Operand& a, const T* rows) {
    i32 lane = threadIdx.x % 32;
#pragma unroll
    for (i32 step = 0; step < STEPS; step++) {
        if constexpr (sizeof(T) == 2) {
            ldmatrix_x4(a[step], rows + lane % 16 * PITCH + step * 16 + lane / 16 * 8);
        } else {
            // The depth's numbers 0, 1, .. count as columns 0, 4, 1, 5, .. of the mma, here and in `products`.
            const T* from = rows + lane / 4 * PITCH + step * 8 + lane % 4 * 2;
            Pack<T, 2> upper = load<2>(from), lower = load<2>(from + 8 * PITCH);
            a[step][0] = __float_as_uint(upper.v[0]);
            a[step][1] = __float_as_uint(lower.v[0]);
            a[step][2] = __float_as_uint(upper.v[1]);
            a[step][3] = __float_as_uint(lower.v[1]);
        }
    }
}

/// The products of 16 rows with the first `groups` times 16 of a tile's tokens in shared memory.
template <typename T, i32 TILES>
DEVICE inline void products(Scores<TILES>& s, const Operand& a, const T* columns, i32 groups) {
    i32 lane = threadIdx.x % 32;
#pragma unroll
    for (i32 group = 0; group < TILES / 2; group++) {
#pragma unroll
        for (i32 i = 0; i < 4; i++) s[2 * group][i] = s[2 * group + 1][i] = 0.0f;
        if (group >= groups) continue;
#pragma unroll
        for (i32 step = 0; step < STEPS; step++) {
            if constexpr (sizeof(T) == 2) {
                u32 both[4];
                i32 token = group * 16 + lane % 8 + lane / 16 * 8;
                ldmatrix_x4(both, columns + token * PITCH + step * 16 + lane / 8 % 2 * 8);
                u32 left[2] = {both[0], both[1]}, right[2] = {both[2], both[3]};
                mma_16816(s[2 * group], a[step], left, T{});
                mma_16816(s[2 * group + 1], a[step], right, T{});
            } else {
#pragma unroll
                for (i32 half = 0; half < 2; half++) {
                    i32 token = group * 16 + half * 8 + lane / 4;
                    Pack<T, 2> pair = load<2>(columns + token * PITCH + step * 8 + lane % 4 * 2);
                    u32 b[2] = {__float_as_uint(pair.v[0]), __float_as_uint(pair.v[1])};
                    mma_split(s[2 * group + half], a[step], b);
                }
            }
        }
    }
}

/// Adds the products of scores with the numbers of the first `groups` times 16 of a tile's tokens in shared memory.
template <typename T, i32 TILES>
DEVICE inline void mix(Sums& sums, const Scores<TILES>& s, const T* columns, i32 groups) {
    i32 lane = threadIdx.x % 32;
#pragma unroll
    for (i32 group = 0; group < TILES / 2; group++) {
        if (group >= groups) continue;
        if constexpr (sizeof(T) == 2) {
            const f32 *left = s[2 * group], *right = s[2 * group + 1];
            u32 a[4] = {narrow2<T>(left[0], left[1]), narrow2<T>(left[2], left[3]), narrow2<T>(right[0], right[1]),
                        narrow2<T>(right[2], right[3])};
#pragma unroll
            for (i32 n = 0; n < DIM / 16; n++) {
                u32 both[4];
                ldmatrix_x4_trans(both, columns + (group * 16 + lane % 16) * PITCH + n * 16 + lane / 16 * 8);
                u32 first[2] = {both[0], both[1]}, second[2] = {both[2], both[3]};
                mma_16816(sums[2 * n], a, first, T{});
                mma_16816(sums[2 * n + 1], a, second, T{});
            }
        } else {
#pragma unroll
            for (i32 half = 0; half < 2; half++) {
                // A lane holds neighbouring columns of scores: they count as columns t and t + 4 of the mma.
                const f32* p = s[2 * group + half];
                u32 a[4] = {__float_as_uint(p[0]), __float_as_uint(p[2]), __float_as_uint(p[1]), __float_as_uint(p[3])};
                const T* from = columns + (group * 16 + half * 8 + lane % 4 * 2) * PITCH + lane / 4;
#pragma unroll
                for (i32 n = 0; n < DIM / 8; n++) {
                    u32 b[2] = {__float_as_uint(from[n * 8]), __float_as_uint(from[n * 8 + PITCH])};
                    mma_split(sums[n], a, b);
                }
            }
        }
    }
}

/// Scores from products: scaled, with the bias, less the penalty; minus infinity from column `present` on.
template <i32 TILES>
DEVICE inline void finish(Scores<TILES>& s, const Token (&rows)[2], const Token* columns, const f32* biases, i32 groups,
                          i32 present, const WindowAttention& g) {
    i32 pair = threadIdx.x % 4 * 2;
#pragma unroll
    for (i32 tile = 0; tile < TILES; tile++) {
        if (tile / 2 >= groups) continue;
        Pack<i32, 4> both = load<4>(reinterpret_cast<const i32*>(columns + tile * 8 + pair));
#pragma unroll
        for (i32 i = 0; i < 4; i++)
            s[tile][i] = s[tile][i] * g.scale + biases[rows[i / 2].place + both.v[i % 2 * 2]];
        if (g.masked) {
#pragma unroll
            for (i32 i = 0; i < 4; i++)
                if (rows[i / 2].region != both.v[i % 2 * 2 + 1]) s[tile][i] -= REGION_PENALTY;
        }
        if (present < TILES * 8) {
#pragma unroll
            for (i32 i = 0; i < 4; i++)
                if (tile * 8 + pair + i % 2 >= present) s[tile][i] = -infinity();
        }
    }
}

/// Starts copies of `COUNT` tokens from `first` on to shared memory, zeros where there is none. `from` is the head's part of
/// the window's first token, `stride` what lies between two tokens.
template <i32 COUNT, typename T>
DEVICE inline void bring(T* to, const T* from, i64 stride, i32 first, const WindowAttention& g) {
    constexpr i32 CHUNK = 16 / sizeof(T), CHUNKS = DIM / CHUNK;
    if (g.dim % CHUNK == 0) {
        for (i32 i = threadIdx.x; i < COUNT * CHUNKS; i += THREADS) {
            i32 token = i / CHUNKS, at = i % CHUNKS * CHUNK;
            cp_async16(to + token * PITCH + at, from + (first + token) * stride + at, first + token < g.tokens && at < g.dim);
        }
    } else {
#pragma unroll 1
        for (i32 i = threadIdx.x; i < COUNT * DIM; i += THREADS) {
            i32 token = i / DIM, at = i % DIM;
            bool exists = first + token < g.tokens && at < g.dim;
            to[token * PITCH + at] = exists ? from[(first + token) * stride + at] : narrow<T>(0.0f);
        }
    }
}

/// Copies the head's column of the bias table to shared memory, times log2(e).
DEVICE inline void bring_table(f32* biases, const REAL* table, i32 head, const WindowAttention& g) {
    if (g.differences == 0 && threadIdx.x == 0) biases[0] = 0.0f;
#pragma unroll 1
    for (i32 i = threadIdx.x; i < g.differences; i += THREADS) biases[i] = wide(table[i64(i) * g.heads + head]) * LOG2_E;
}

/// Writes 16 rows from `first` on, which lie `stride` apart, times a factor of each of a lane's two rows.
DEVICE inline void put(REAL* to, i64 stride, const Sums& sums, i32 first, const f32 (&factors)[2], const WindowAttention& g) {
    i32 lane = threadIdx.x % 32;
#pragma unroll
    for (i32 half = 0; half < 2; half++) {
        i32 token = first + lane / 4 + half * 8;
        if (token >= g.tokens) continue;
#pragma unroll
        for (i32 n = 0; n < DIM / 8; n++) {
            i32 at = n * 8 + lane % 4 * 2;
            REAL* out = to + token * stride + at;
            Pack<REAL, 2> pair = {{narrow<REAL>(sums[n][2 * half] * factors[half]),
                                   narrow<REAL>(sums[n][2 * half + 1] * factors[half])}};
            if (g.dim % 2 == 0) {
                if (at < g.dim) store(out, pair);
            } else {
                if (at < g.dim) out[0] = pair.v[0];
                if (at + 1 < g.dim) out[1] = pair.v[1];
            }
        }
    }
}

/// Where a block works.
struct Block {
    i32 tile, head;
    i64 window;
};

DEVICE inline Block find_block(i32 tiles, const WindowAttention& g) {
    u32 block = blockIdx.x, rest = block / u32(tiles);
    return {i32(block % u32(tiles)), i32(rest % u32(g.heads)), i64(rest / u32(g.heads))};
}

/// How many times 16 columns a tile that begins at `first` has.
template <i32 COLUMNS> DEVICE inline i32 groups_of(i32 first, const WindowAttention& g) {
    return min(COLUMNS / 16, ceil_div(g.tokens - first, 16));
}

/// `out` is [windows, tokens, heads, dim], `logarithms` [windows, heads, tokens]. Grid: tiles of rows, heads, windows, the
/// first innermost.
KERNEL BOUNDS(THREADS, sizeof(REAL) * DIM > 128 ? 1 : 2) forward(const REAL* qkv, const REAL* table, REAL* out, f32* logarithms, WindowAttention g) {
    constexpr i32 COLUMNS = FORWARD_COLUMNS, TILES = COLUMNS / 8;
    DYNAMIC_SHARED;
    REAL* queries = reinterpret_cast<REAL*>(smem);
    REAL* stages = queries + ROWS * PITCH;  // keys and values, twice
    Token* tokens = reinterpret_cast<Token*>(stages + 4 * COLUMNS * PITCH);
    f32* biases = reinterpret_cast<f32*>(tokens + 2 * COLUMNS);

    Block at = find_block(ceil_div(g.tokens, ROWS), g);
    i64 part = i64(g.heads) * g.dim, stride = 3 * part;
    const REAL* of_head = qkv + at.window * g.tokens * stride + i64(at.head) * g.dim;
    auto bring_columns = [&](i32 first, i32 stage) {
        bring<COLUMNS>(stages + 2 * stage * COLUMNS * PITCH, of_head + part, stride, first, g);
        bring<COLUMNS>(stages + (2 * stage + 1) * COLUMNS * PITCH, of_head + 2 * part, stride, first, g);
        if (threadIdx.x < COLUMNS)
            tokens[stage * COLUMNS + threadIdx.x] =
                find_token(first + i32(threadIdx.x), i32(at.window), false, g);
    };
    bring<ROWS>(queries, of_head, stride, at.tile * ROWS, g);
    bring_columns(0, 0);
    cp_async_commit();
    bring_table(biases, table, at.head, g);

    i32 lane = threadIdx.x % 32, own = at.tile * ROWS + threadIdx.x / 32 * 16;
    Token rows[2];
#pragma unroll
    for (i32 half = 0; half < 2; half++)
        rows[half] = find_token(own + lane / 4 + half * 8, i32(at.window), true, g);
    Operand a;
    Sums sums = {};
    f32 most[2] = {-infinity(), -infinity()}, total[2] = {};
    for (i32 first = 0, stage = 0; first < g.tokens; first += COLUMNS, stage ^= 1) {
        if (first + COLUMNS < g.tokens) bring_columns(first + COLUMNS, stage ^ 1);
        cp_async_commit();
        cp_async_wait<1>();
        __syncthreads();
        if (own < g.tokens) {
            const REAL* keys = stages + 2 * stage * COLUMNS * PITCH;
            i32 groups = groups_of<COLUMNS>(first, g);
            if (first == 0) take_rows(a, queries + threadIdx.x / 32 * 16 * PITCH);
            Scores<TILES> s;
            products(s, a, keys, groups);
            finish(s, rows, tokens + stage * COLUMNS, biases, groups, g.tokens - first, g);
#pragma unroll
            for (i32 half = 0; half < 2; half++) {
                f32 before = most[half];
#pragma unroll
                for (i32 tile = 0; tile < TILES; tile++)
                    if (tile / 2 < groups)
                        most[half] = fmaxf(most[half], fmaxf(s[tile][2 * half], s[tile][2 * half + 1]));
                most[half] = fmaxf(most[half], __shfl_xor_sync(0xffffffffu, most[half], 1));
                most[half] = fmaxf(most[half], __shfl_xor_sync(0xffffffffu, most[half], 2));
                f32 factor = exp2_fast(before - most[half]);
                total[half] *= factor;
#pragma unroll
                for (i32 n = 0; n < DIM / 8; n++) {
                    sums[n][2 * half] *= factor;
                    sums[n][2 * half + 1] *= factor;
                }
#pragma unroll
                for (i32 tile = 0; tile < TILES; tile++)
                    if (tile / 2 < groups)
#pragma unroll
                        for (i32 i = 2 * half; i < 2 * half + 2; i++) {
                            s[tile][i] = exp2_fast(s[tile][i] - most[half]);
                            total[half] += s[tile][i];
                        }
            }
            mix(sums, s, keys + COLUMNS * PITCH, groups);
        }
        __syncthreads();  // the next step brings columns here
    }
    if (own >= g.tokens) return;
    f32 factors[2];
#pragma unroll
    for (i32 half = 0; half < 2; half++) {
        total[half] += __shfl_xor_sync(0xffffffffu, total[half], 1);
        total[half] += __shfl_xor_sync(0xffffffffu, total[half], 2);
        factors[half] = 1.0f / total[half];
        i32 token = own + lane / 4 + half * 8;
        if (lane % 4 == 0 && token < g.tokens)
            logarithms[(at.window * g.heads + at.head) * g.tokens + token] = (most[half] + log2f(total[half])) / LOG2_E;
    }
    put(out + at.window * g.tokens * part + i64(at.head) * g.dim, part, sums, own, factors, g);
}

/// The queries' part of `of_qkv` [windows, tokens, 3, heads, dim], and `means` [windows, heads, tokens]: the products of
/// each row of `grad` with that of `out`. Grid as for `forward`.
KERNEL BOUNDS(THREADS, DIM > 32 ? 1 : 2) query_gradient(const REAL* qkv, const REAL* table, const REAL* grad, const REAL* out, const f32* logarithms, f32* means,
               REAL* of_qkv, WindowAttention g) {
    constexpr i32 COLUMNS = GRADIENT_COLUMNS, TILES = COLUMNS / 8;
    DYNAMIC_SHARED;
    REAL* queries = reinterpret_cast<REAL*>(smem);
    REAL* grads = queries + ROWS * PITCH;
    REAL* stages = grads + ROWS * PITCH;  // keys and values, twice
    Token* tokens = reinterpret_cast<Token*>(stages + 4 * COLUMNS * PITCH);
    f32* of_rows = reinterpret_cast<f32*>(tokens + 2 * COLUMNS);
    f32* biases = of_rows + ROWS;

    Block at = find_block(ceil_div(g.tokens, ROWS), g);
    i64 part = i64(g.heads) * g.dim, stride = 3 * part;
    i64 head = at.window * g.tokens * stride + i64(at.head) * g.dim, of_out = at.window * g.tokens * part + i64(at.head) * g.dim;
    i64 of_moments = (at.window * g.heads + at.head) * g.tokens;
    auto bring_columns = [&](i32 first, i32 stage) {
        bring<COLUMNS>(stages + 2 * stage * COLUMNS * PITCH, qkv + head + part, stride, first, g);
        bring<COLUMNS>(stages + (2 * stage + 1) * COLUMNS * PITCH, qkv + head + 2 * part, stride, first, g);
        if (threadIdx.x < COLUMNS)
            tokens[stage * COLUMNS + threadIdx.x] =
                find_token(first + i32(threadIdx.x), i32(at.window), false, g);
    };
    bring<ROWS>(queries, qkv + head, stride, at.tile * ROWS, g);
    bring<ROWS>(grads, grad + of_out, part, at.tile * ROWS, g);
    bring_columns(0, 0);
    cp_async_commit();
    bring_table(biases, table, at.head, g);
    if (threadIdx.x < ROWS) {
        i32 token = at.tile * ROWS + threadIdx.x;
        f32 sum = 0.0f;
        if (token < g.tokens) {
            const REAL *x = grad + of_out + token * part, *y = out + of_out + token * part;
#pragma unroll 4
            for (i32 i = 0; i < g.dim; i++) sum += wide(x[i]) * wide(y[i]);
            means[of_moments + token] = sum;
        }
        of_rows[threadIdx.x] = sum;
    }
    __syncthreads();

    i32 lane = threadIdx.x % 32, own = at.tile * ROWS + threadIdx.x / 32 * 16;
    Token rows[2];
    Moments moments[2];
#pragma unroll
    for (i32 half = 0; half < 2; half++) {
        i32 token = own + lane / 4 + half * 8;
        bool exists = token < g.tokens;
        rows[half] = find_token(token, i32(at.window), true, g);
        moments[half] = {exists ? logarithms[of_moments + token] * LOG2_E : infinity(),
                         of_rows[threadIdx.x / 32 * 16 + lane / 4 + half * 8]};
    }
    Operand a, b;
    Sums sums = {};
    for (i32 first = 0, stage = 0; first < g.tokens; first += COLUMNS, stage ^= 1) {
        if (first + COLUMNS < g.tokens) bring_columns(first + COLUMNS, stage ^ 1);
        cp_async_commit();
        cp_async_wait<1>();
        __syncthreads();
        if (own < g.tokens) {
            const REAL* keys = stages + 2 * stage * COLUMNS * PITCH;
            i32 groups = groups_of<COLUMNS>(first, g);
            if (first == 0) {
                take_rows(a, queries + threadIdx.x / 32 * 16 * PITCH);
                take_rows(b, grads + threadIdx.x / 32 * 16 * PITCH);
            }
            Scores<TILES> s, along;
            products(s, a, keys, groups);
            finish(s, rows, tokens + stage * COLUMNS, biases, groups, g.tokens - first, g);
            products(along, b, keys + COLUMNS * PITCH, groups);
#pragma unroll
            for (i32 tile = 0; tile < TILES; tile++)
                if (tile / 2 < groups)
#pragma unroll
                    for (i32 i = 0; i < 4; i++)
                        s[tile][i] = exp2_fast(s[tile][i] - moments[i / 2].logarithm) * (along[tile][i] - moments[i / 2].mean);
            mix(sums, s, keys, groups);
        }
        __syncthreads();  // the next step brings columns here
    }
    if (own >= g.tokens) return;
    f32 factors[2] = {g.gradient_scale, g.gradient_scale};
    put(of_qkv + head, stride, sums, own, factors, g);
}

/// The keys' and values' parts of `of_qkv`. Grid as for `forward`.
KERNEL BOUNDS(THREADS, DIM > 32 ? 1 : 2) key_value_gradient(const REAL* qkv, const REAL* table, const REAL* grad, const f32* logarithms, const f32* means,
                   REAL* of_qkv, WindowAttention g) {
    constexpr i32 COLUMNS = GRADIENT_COLUMNS, TILES = COLUMNS / 8;
    DYNAMIC_SHARED;
    REAL* keys = reinterpret_cast<REAL*>(smem);
    REAL* values = keys + ROWS * PITCH;
    REAL* stages = values + ROWS * PITCH;  // queries and gradients, twice
    Token* tokens = reinterpret_cast<Token*>(stages + 4 * COLUMNS * PITCH);
    Moments* moments = reinterpret_cast<Moments*>(tokens + 2 * COLUMNS);
    f32* biases = reinterpret_cast<f32*>(moments + 2 * COLUMNS);

    Block at = find_block(ceil_div(g.tokens, ROWS), g);
    i64 part = i64(g.heads) * g.dim, stride = 3 * part;
    i64 head = at.window * g.tokens * stride + i64(at.head) * g.dim, of_out = at.window * g.tokens * part + i64(at.head) * g.dim;
    i64 of_moments = (at.window * g.heads + at.head) * g.tokens;
    auto bring_columns = [&](i32 first, i32 stage) {
        bring<COLUMNS>(stages + 2 * stage * COLUMNS * PITCH, qkv + head, stride, first, g);
        bring<COLUMNS>(stages + (2 * stage + 1) * COLUMNS * PITCH, grad + of_out, part, first, g);
        if (threadIdx.x < COLUMNS) {
            i32 token = first + threadIdx.x;
            bool exists = token < g.tokens;
            i32 to = stage * COLUMNS + threadIdx.x;
            tokens[to] = find_token(token, i32(at.window), true, g);
            // A query that does not exist gets no probability.
            moments[to] = {exists ? logarithms[of_moments + token] * LOG2_E : infinity(),
                           exists ? means[of_moments + token] : 0.0f};
        }
    };
    bring<ROWS>(keys, qkv + head + part, stride, at.tile * ROWS, g);
    bring<ROWS>(values, qkv + head + 2 * part, stride, at.tile * ROWS, g);
    bring_columns(0, 0);
    cp_async_commit();
    bring_table(biases, table, at.head, g);

    i32 lane = threadIdx.x % 32, own = at.tile * ROWS + threadIdx.x / 32 * 16;
    Token rows[2];
#pragma unroll
    for (i32 half = 0; half < 2; half++)
        rows[half] = find_token(own + lane / 4 + half * 8, i32(at.window), false, g);
    Operand a, b;
    Sums of_keys = {}, of_values = {};
    for (i32 first = 0, stage = 0; first < g.tokens; first += COLUMNS, stage ^= 1) {
        if (first + COLUMNS < g.tokens) bring_columns(first + COLUMNS, stage ^ 1);
        cp_async_commit();
        cp_async_wait<1>();
        __syncthreads();
        if (own < g.tokens) {
            const REAL *queries = stages + 2 * stage * COLUMNS * PITCH, *grads = queries + COLUMNS * PITCH;
            i32 groups = groups_of<COLUMNS>(first, g);
            if (first == 0) {
                take_rows(a, keys + threadIdx.x / 32 * 16 * PITCH);
                take_rows(b, values + threadIdx.x / 32 * 16 * PITCH);
            }
            Scores<TILES> p, s;
            products(p, a, queries, groups);
            finish(p, rows, tokens + stage * COLUMNS, biases, groups, COLUMNS, g);
            products(s, b, grads, groups);
#pragma unroll
            for (i32 tile = 0; tile < TILES; tile++) {
                if (tile / 2 >= groups) continue;
                Pack<f32, 4> both =
                    load<4>(reinterpret_cast<const f32*>(moments + stage * COLUMNS + tile * 8 + lane % 4 * 2));
#pragma unroll
                for (i32 i = 0; i < 4; i++) {
                    p[tile][i] = exp2_fast(p[tile][i] - both.v[i % 2 * 2]);
                    s[tile][i] = p[tile][i] * (s[tile][i] - both.v[i % 2 * 2 + 1]);
                }
            }
            mix(of_values, p, grads, groups);
            mix(of_keys, s, queries, groups);
        }
        __syncthreads();  // the next step brings columns here
    }
    if (own >= g.tokens) return;
    f32 factors[2] = {g.gradient_scale, g.gradient_scale}, ones[2] = {1.0f, 1.0f};
    put(of_qkv + head + part, stride, of_keys, own, factors, g);
    put(of_qkv + head + 2 * part, stride, of_values, own, ones, g);
}

/// The gradients of the scores of all pairs of tokens, summed over the windows of one share: `sums` is
/// [shares, heads, tokens, tokens]. Grid: tiles of keys, tiles of queries, heads, shares, the first innermost.
KERNEL BOUNDS(THREADS, sizeof(REAL) == 4 || DIM > 32 ? 1 : 2) bias_gradient(const REAL* qkv, const REAL* table, const REAL* grad, const f32* logarithms, const f32* means, f32* sums,
              WindowAttention g) {
    constexpr i32 COLUMNS = BIAS_COLUMNS, TILES = COLUMNS / 8;
    DYNAMIC_SHARED;
    REAL* queries = reinterpret_cast<REAL*>(smem);
    REAL* grads = queries + ROWS * PITCH;
    REAL* keys = grads + ROWS * PITCH;
    REAL* values = keys + COLUMNS * PITCH;
    Token* tokens = reinterpret_cast<Token*>(values + COLUMNS * PITCH);
    f32* biases = reinterpret_cast<f32*>(tokens + COLUMNS);

    i32 tiles = ceil_div(g.tokens, COLUMNS);
    u32 block = blockIdx.x;
    i32 first = i32(block % tiles) * COLUMNS;
    block /= tiles;
    tiles = ceil_div(g.tokens, ROWS);
    i32 first_row = i32(block % tiles) * ROWS;
    block /= tiles;
    i32 head = i32(block % g.heads), share = i32(block / g.heads);
    bring_table(biases, table, head, g);

    i64 part = i64(g.heads) * g.dim, stride = 3 * part;
    i32 lane = threadIdx.x % 32, own = first_row + threadIdx.x / 32 * 16, groups = groups_of<COLUMNS>(first, g);
    i32 each = ceil_div(g.windows, g.shares), end = min((share + 1) * each, g.windows);
    Token rows[2];
#pragma unroll
    for (i32 half = 0; half < 2; half++)
        rows[half].place = find_place(min(own + lane / 4 + half * 8, g.tokens - 1), true, g);
    if (threadIdx.x < COLUMNS) tokens[threadIdx.x].place = find_place(min(first + i32(threadIdx.x), g.tokens - 1), false, g);
    Scores<TILES> all = {};
    for (i32 window = share * each; window < end; window++) {
        const REAL* of_head = qkv + i64(window) * g.tokens * stride + i64(head) * g.dim;
        bring<ROWS>(queries, of_head, stride, first_row, g);
        bring<ROWS>(grads, grad + i64(window) * g.tokens * part + i64(head) * g.dim, part, first_row, g);
        bring<COLUMNS>(keys, of_head + part, stride, first, g);
        bring<COLUMNS>(values, of_head + 2 * part, stride, first, g);
        if (threadIdx.x < COLUMNS)
            tokens[threadIdx.x].region = find_region(min(first + i32(threadIdx.x), g.tokens - 1), window, g);
        cp_async_commit();
        cp_async_wait<0>();
        __syncthreads();
        if (own < g.tokens) {
            i64 of_moments = (i64(window) * g.heads + head) * g.tokens;
            Moments moments[2];
#pragma unroll
            for (i32 half = 0; half < 2; half++) {
                i32 token = min(own + lane / 4 + half * 8, g.tokens - 1);
                rows[half].region = find_region(token, window, g);
                moments[half] = {logarithms[of_moments + token] * LOG2_E, means[of_moments + token]};
            }
            Operand a;
            Scores<TILES> s, along;
            take_rows(a, queries + threadIdx.x / 32 * 16 * PITCH);
            products(s, a, keys, groups);
            finish(s, rows, tokens, biases, groups, g.tokens - first, g);
            take_rows(a, grads + threadIdx.x / 32 * 16 * PITCH);
            products(along, a, values, groups);
#pragma unroll
            for (i32 tile = 0; tile < TILES; tile++)
                if (tile / 2 < groups)
#pragma unroll
                    for (i32 i = 0; i < 4; i++)
                        all[tile][i] += exp2_fast(s[tile][i] - moments[i / 2].logarithm) * (along[tile][i] - moments[i / 2].mean);
        }
        __syncthreads();  // the next window is brought here
    }
    sums += (i64(share) * g.heads + head) * g.tokens * g.tokens;
#pragma unroll
    for (i32 tile = 0; tile < TILES; tile++)
#pragma unroll
        for (i32 i = 0; i < 4; i++) {
            i32 row = own + lane / 4 + i / 2 * 8, column = first + tile * 8 + lane % 4 * 2 + i % 2;
            if (row < g.tokens && column < g.tokens) sums[i64(row) * g.tokens + column] = all[tile][i];
        }
}
