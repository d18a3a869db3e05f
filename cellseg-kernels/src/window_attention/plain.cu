// Window attention without tensor cores: for sm_75, for heads of more than 64 numbers, for bias tables that no shared memory
// holds, and for f32 products of the definition alone (CELLSEG_PRECISION=strict).
//
// A warp has a row, a query's or for the keys' gradients a key's, and takes the tokens of the other side 32 at a time, one
// a lane: products, exponentials, then sums with a lane a number of the head. The rows of the other side come from the first
// level's cache, where the four warps of a block, neighbours of one head, meet. Shared memory: 4 (4 dim + 64) f32. All in
// f32. One FMA for each 4-byte load: bound by loads, on paper about a tenth of the tensor cores' speed.
//
// plain_forward, plain_query_gradient, plain_key_value_gradient, plain_bias_gradient: as their namesakes in attention.cu.
//
// instances: REAL=f32,f16,bf16
// targets: sm_75 sm_80 sm_90a
// budget: plain_forward registers=91 shared=0
// budget: plain_query_gradient registers=88 shared=0
// budget: plain_key_value_gradient registers=113 shared=0
// budget: plain_bias_gradient registers=60 shared=0

constexpr i32 THREADS = 128;
constexpr i32 WARPS = THREADS / 32;
constexpr i32 SIDE = 16;  // of a tile of pairs

/// Where a warp works.
struct Row {
    i64 window;
    i32 head, token;
    i64 first;    // of the head's queries of the window
    i64 of_out;   // of the head's output of the window
    i64 moments;  // of the head's logarithms of the window
};

DEVICE inline bool find_row(Row& row, const WindowAttention& g) {
    i64 index = i64(blockIdx.x) * WARPS + threadIdx.x / 32, rest = index / g.tokens;
    row.token = i32(index - rest * g.tokens);
    row.window = rest / g.heads;
    row.head = i32(rest - row.window * g.heads);
    i64 part = i64(g.heads) * g.dim;
    row.first = row.window * g.tokens * 3 * part + i64(row.head) * g.dim;
    row.of_out = row.window * g.tokens * part + i64(row.head) * g.dim;
    row.moments = (row.window * g.heads + row.head) * g.tokens;
    return row.window < g.windows;
}

/// The sum over a head's numbers.
DEVICE inline f32 product(const f32* a, const REAL* b, const WindowAttention& g) {
    f32 sum = 0.0f;
    for (i32 i = 0; i < g.dim; i++) sum += a[i] * wide(b[i]);
    return sum;
}

/// The score of two tokens from their product, to base 2.
DEVICE inline f32 score(f32 product, Token query, Token key, const REAL* table, i32 head, const WindowAttention& g) {
    f32 score = product * g.scale;
    if (g.differences > 0) score += wide(table[i64(query.place + key.place) * g.heads + head]) * LOG2_E;
    return query.region == key.region ? score : score - REGION_PENALTY;
}

/// Copies a head's numbers of one token to shared memory.
DEVICE inline void take(f32* to, const REAL* from, const WindowAttention& g) {
    for (i32 i = threadIdx.x % 32; i < g.dim; i += 32) to[i] = wide(from[i]);
}

/// Adds to `sums`, which are multiplied by `factor` before, the numbers of `count` tokens times one of `p` each.
DEVICE inline void mix(f32* sums, f32 factor, const f32* p, const REAL* from, i64 stride, i32 count, const WindowAttention& g) {
    for (i32 i = threadIdx.x % 32; i < g.dim; i += 32) {
        f32 sum = sums[i] * factor;
        for (i32 j = 0; j < count; j++) sum += p[j] * wide(from[j * stride + i]);
        sums[i] = sum;
    }
}

/// Grid: four rows of all tokens, heads and windows a block.
KERNEL BOUNDS(THREADS, 4) plain_forward(const REAL* qkv, const REAL* table, REAL* out, f32* logarithms, WindowAttention g) {
    DYNAMIC_SHARED;
    i32 lane = threadIdx.x % 32;
    f32* query = reinterpret_cast<f32*>(smem) + threadIdx.x / 32 * (4 * g.dim + 64);
    f32 *sums = query + g.dim, *p = sums + g.dim;
    Row row;
    if (!find_row(row, g)) return;
    i64 part = i64(g.heads) * g.dim, stride = 3 * part;
    const REAL *keys = qkv + row.first + part, *values = keys + part;
    Token own = find_token(row.token, i32(row.window), true, g);
    take(query, qkv + row.first + row.token * stride, g);
    for (i32 i = lane; i < g.dim; i += 32) sums[i] = 0.0f;
    f32 most = -infinity(), total = 0.0f;
    for (i32 first = 0; first < g.tokens; first += 32) {
        __syncwarp();
        i32 key = first + lane;
        f32 s = -infinity();
        if (key < g.tokens)
            s = score(product(query, keys + key * stride, g), own, find_token(key, i32(row.window), false, g), table, row.head, g);
        f32 before = most;
        most = fmaxf(most, warp_max(s));
        f32 factor = exp2_fast(before - most), e = exp2_fast(s - most);
        total = total * factor + warp_sum(e);
        p[lane] = e;
        __syncwarp();
        mix(sums, factor, p, values + first * stride, stride, min(32, g.tokens - first), g);
    }
    for (i32 i = lane; i < g.dim; i += 32) out[row.of_out + row.token * part + i] = narrow<REAL>(sums[i] / total);
    if (lane == 0) logarithms[row.moments + row.token] = (most + log2f(total)) / LOG2_E;
}

/// Grid as for `plain_forward`.
KERNEL BOUNDS(THREADS, 4) plain_query_gradient(const REAL* qkv, const REAL* table, const REAL* grad, const REAL* out, const f32* logarithms, f32* means, REAL* of_qkv, WindowAttention g) {
    DYNAMIC_SHARED;
    i32 lane = threadIdx.x % 32;
    f32* query = reinterpret_cast<f32*>(smem) + threadIdx.x / 32 * (4 * g.dim + 64);
    f32 *gradient = query + g.dim, *sums = gradient + g.dim, *s = sums + g.dim;
    Row row;
    if (!find_row(row, g)) return;
    i64 part = i64(g.heads) * g.dim, stride = 3 * part;
    const REAL *keys = qkv + row.first + part, *values = keys + part;
    Token own = find_token(row.token, i32(row.window), true, g);
    take(query, qkv + row.first + row.token * stride, g);
    take(gradient, grad + row.of_out + row.token * part, g);
    __syncwarp();
    f32 mean = 0.0f, logarithm = logarithms[row.moments + row.token] * LOG2_E;
    for (i32 i = lane; i < g.dim; i += 32) {
        sums[i] = 0.0f;
        mean += gradient[i] * wide(out[row.of_out + row.token * part + i]);
    }
    mean = warp_sum(mean);
    if (lane == 0) means[row.moments + row.token] = mean;
    for (i32 first = 0; first < g.tokens; first += 32) {
        i32 key = first + lane;
        f32 of_score = 0.0f;
        if (key < g.tokens) {
            Token other = find_token(key, i32(row.window), false, g);
            f32 e = score(product(query, keys + key * stride, g), own, other, table, row.head, g);
            of_score = exp2_fast(e - logarithm) * (product(gradient, values + key * stride, g) - mean);
        }
        __syncwarp();
        s[lane] = of_score;
        __syncwarp();
        mix(sums, 1.0f, s, keys + first * stride, stride, min(32, g.tokens - first), g);
    }
    for (i32 i = lane; i < g.dim; i += 32)
        of_qkv[row.first + row.token * stride + i] = narrow<REAL>(sums[i] * g.gradient_scale);
}

/// Grid as for `plain_forward`.
KERNEL BOUNDS(THREADS, 4) plain_key_value_gradient(const REAL* qkv, const REAL* table, const REAL* grad, const f32* logarithms, const f32* means, REAL* of_qkv, WindowAttention g) {
    DYNAMIC_SHARED;
    i32 lane = threadIdx.x % 32;
    f32* key = reinterpret_cast<f32*>(smem) + threadIdx.x / 32 * (4 * g.dim + 64);
    f32 *value = key + g.dim, *of_key = value + g.dim, *of_value = of_key + g.dim, *p = of_value + g.dim, *s = p + 32;
    Row row;
    if (!find_row(row, g)) return;
    i64 part = i64(g.heads) * g.dim, stride = 3 * part;
    const REAL *queries = qkv + row.first, *grads = grad + row.of_out;
    Token own = find_token(row.token, i32(row.window), false, g);
    take(key, queries + part + row.token * stride, g);
    take(value, queries + 2 * part + row.token * stride, g);
    for (i32 i = lane; i < g.dim; i += 32) of_key[i] = of_value[i] = 0.0f;
    for (i32 first = 0; first < g.tokens; first += 32) {
        __syncwarp();
        i32 query = first + lane;
        f32 e = 0.0f, of_score = 0.0f;
        if (query < g.tokens) {
            Token other = find_token(query, i32(row.window), true, g);
            e = score(product(key, queries + query * stride, g), other, own, table, row.head, g);
            e = exp2_fast(e - logarithms[row.moments + query] * LOG2_E);
            of_score = e * (product(value, grads + query * part, g) - means[row.moments + query]);
        }
        p[lane] = e;
        s[lane] = of_score;
        __syncwarp();
        i32 count = min(32, g.tokens - first);
        mix(of_value, 1.0f, p, grads + first * part, part, count, g);
        mix(of_key, 1.0f, s, queries + first * stride, stride, count, g);
    }
    for (i32 i = lane; i < g.dim; i += 32) {
        REAL* to = of_qkv + row.first + row.token * stride + part + i;
        to[0] = narrow<REAL>(of_key[i] * g.gradient_scale);
        to[part] = narrow<REAL>(of_value[i]);
    }
}

/// A thread has a pair of tokens. Grid: tiles of SIDE keys, tiles of SIDE queries, heads, shares, the first innermost.
KERNEL BOUNDS(SIDE * SIDE, 4) plain_bias_gradient(const REAL* qkv, const REAL* table, const REAL* grad, const f32* logarithms, const f32* means, f32* sums, WindowAttention g) {
    i32 tiles = ceil_div(g.tokens, SIDE);
    u32 block = blockIdx.x;
    i32 key = i32(block % tiles) * SIDE + threadIdx.x % SIDE;
    block /= tiles;
    i32 query = i32(block % tiles) * SIDE + threadIdx.x / SIDE;
    block /= tiles;
    i32 head = i32(block % g.heads), share = i32(block / g.heads);
    if (key >= g.tokens || query >= g.tokens) return;
    i64 part = i64(g.heads) * g.dim, stride = 3 * part;
    i32 each = ceil_div(g.windows, g.shares), end = min((share + 1) * each, g.windows);
    f32 all = 0.0f;
    for (i32 window = share * each; window < end; window++) {
        const REAL* of_query = qkv + (i64(window) * g.tokens + query) * stride + i64(head) * g.dim;
        const REAL* of_key = qkv + (i64(window) * g.tokens + key) * stride + part + i64(head) * g.dim;
        const REAL* gradient = grad + (i64(window) * g.tokens + query) * part + i64(head) * g.dim;
        f32 products = 0.0f, along = 0.0f;
        for (i32 i = 0; i < g.dim; i++) {
            products += wide(of_query[i]) * wide(of_key[i]);
            along += wide(gradient[i]) * wide(of_key[part + i]);
        }
        i64 moment = (i64(window) * g.heads + head) * g.tokens + query;
        f32 e = score(products, find_token(query, window, true, g), find_token(key, window, false, g), table, head, g);
        all += exp2_fast(e - logarithms[moment] * LOG2_E) * (along - means[moment]);
    }
    sums[((i64(share) * g.heads + head) * g.tokens + query) * g.tokens + key] = all;
}
