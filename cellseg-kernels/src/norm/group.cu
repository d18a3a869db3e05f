// The normalisation of groups of `[n, rows, channels]` with an activation, dropout and a residual, forward and backward;
// the formulas are those of group.rs and gradient.rs.
//
// A block of 256 threads takes a chunk of rows of one sample: threads lie along the packs of 16 bytes of a row, each with
// the coefficients of its channels in registers, and down the rows; a second axis of the grid goes on along rows of more
// than 256 packs. Where packs do not fill a row a thread takes single numbers. Of two or three blocks of a multiprocessor
// 16 to 32 KiB are on the way from memory at a time, what its latency takes.
//
// Memory per number of S bytes, which is the least for statistics that are found first:
//   moments    reads S                             normalise  reads S (+ S residual), writes S
//   gradient_sums  reads 2 S (+ S residual, or + writes S where the stage's gradient is kept)
//   gradient       reads 2 S (+ S residual), writes S
// and a byte for each pack where numbers are dropped: the mask is drawn once, 20 integer operations a number. Other
// arithmetic is below 20 operations a number (but for Gelu): memory is the bottleneck.
//
// instances: REAL=f32,f16,bf16 ACTIVATION=0,1,2,3,4,5
// targets: sm_75 sm_80 sm_90a
// budget: moments registers=110 shared=16384
// budget: normalise registers=116 shared=0
// budget: gradient_sums registers=128 shared=16384
// budget: gradient registers=128 shared=0

struct Geometry {
    // Rows of a sample.
    i64 rows;
    i32 channels, groups;
    // Rows of a chunk, and chunks of a sample.
    i32 chunk, chunks;
    // Numbers that a thread takes of a row: those of a pack, or one.
    i32 width;
    // Threads along a row.
    i32 columns;
    // Parts of the channels whose moments are found each on its own: groups, or channels where a row is long.
    i32 units;
};

// An activation with dropout after it.
struct Stage {
    u64 key;
    // Numbers whose random word lies below are dropped; the others are multiplied by `scale`.
    u32 threshold;
    f32 scale;
    i32 drops;
    f32 setting;
    // Whether it stands before the norm.
    i32 first;
};

// Where a thread works.
struct Place {
    i32 sample, chunk;
    // The first of its channels, where that of the sample's first row lies, and whether it has any.
    i32 channel;
    i64 first;
    bool active;
    // Its first row, the end of its chunk, and how far it is from row to row.
    i64 row, end;
    i32 depth;
};

template <int N> DEVICE inline Place place(const Geometry& g) {
    Place p;
    p.sample = blockIdx.x / g.chunks;
    p.chunk = blockIdx.x % g.chunks;
    p.depth = 256 / g.columns;
    i32 down = threadIdx.x / g.columns;
    p.channel = (blockIdx.y * g.columns + threadIdx.x % g.columns) * N;
    p.first = p.sample * g.rows * g.channels + p.channel;
    p.active = p.channel < g.channels && down < p.depth;
    i64 first = (i64)p.chunk * g.chunk;
    p.row = first + down;
    p.end = min(first + g.chunk, g.rows);
    return p;
}

// The place of a row's number in the array.
DEVICE inline i64 number(const Geometry& g, const Place& p, i64 row) { return p.first + row * g.channels; }

// Which of the N numbers from place `at` on are kept, a bit each.
template <int N> DEVICE inline u32 draw(const Stage& s, i64 at) {
    if constexpr (N == 1) {
        return philox(s.key, (u64)at / 4).w[at % 4] >= s.threshold;
    } else {
        u32 bits = 0;
#pragma unroll
        for (int i = 0; i < N; i += 4) {
            Words words = philox(s.key, (u64)(at + i) / 4);
#pragma unroll
            for (int j = 0; j < 4; j++) bits |= (u32)(words.w[j] >= s.threshold) << (i + j);
        }
        return bits;
    }
}

template <int N> DEVICE inline void drop(Wide<REAL, N>& x, u32 bits, f32 scale) {
#pragma unroll
    for (int i = 0; i < N; i++) x[i] *= bits >> i & 1 ? scale : 0.f;
}

// What comes out of the stage.
template <int N> DEVICE inline void forward(const Stage& s, u32 bits, Wide<REAL, N>& x) {
#pragma unroll
    for (int i = 0; i < N; i++) x[i] = activate<ACTIVATION>(x[i], s.setting);
    if (s.drops) drop<N>(x, bits, s.scale);
}

// From the gradient of what came out of the stage that of what went in, `x`.
template <int N> DEVICE inline void backward(const Stage& s, u32 bits, Wide<REAL, N>& g, const Wide<REAL, N>& x) {
    if (s.drops) drop<N>(g, bits, s.scale);
#pragma unroll
    for (int i = 0; i < N; i++) g[i] = activation_gradient_from_input<ACTIVATION>(g[i], x[i], s.setting);
}

// The mean of some numbers, and the sum of the squares of their distances from it.
struct Moments {
    f32 count, mean, squares;
};

// The moments of what both hold, by the formula of Chan, Golub and LeVeque (The American Statistician 37, 1983), all of
// whose terms are positive: nothing cancels, however far the numbers lie from zero.
DEVICE inline void join(Moments& a, const Moments& b) {
    if (b.count == 0.f) return;
    f32 count = a.count + b.count, share = b.count / count, distance = b.mean - a.mean;
    a.mean += distance * share;
    a.squares += b.squares + distance * distance * (a.count * share);
    a.count = count;
}

// Rows that a thread has on the way from memory at once, as packs: what is loaded before anything is stored. Backward
// they are fewer where an exponential needs the registers.
constexpr int BATCH = 2, BATCH_BACKWARD = ACTIVATION > LEAKY_RELU ? 1 : 2;

// The blocks of a multiprocessor that registers are shared out for, forward.
constexpr int BLOCKS = ACTIVATION > LEAKY_RELU ? 2 : 3;

// Writes the moments of the units of a chunk; `means` and `squares` have room for a number of each of N channels of each
// thread.
template <int N> DEVICE inline void moments_of(f32* parts, const REAL* x, u8* masks, const Geometry& g, const Stage& s,
                                               f32* means, f32* squares) {
    Place p = place<N>(g);
    f32 count = 0.f, mean[N] = {}, square[N] = {};
    for (i64 row = p.row; p.active && row < p.end; row += BATCH * p.depth) {
        Pack<REAL, N> packs[BATCH];
        i32 loaded = 0;
#pragma unroll
        for (int k = 0; k < BATCH; k++) {
            if (row + k * p.depth >= p.end) break;
            packs[k] = load<N>(x + number(g, p, row + k * p.depth));
            loaded++;
        }
        Wide<REAL, N> v[BATCH];
#pragma unroll
        for (int k = 0; k < BATCH; k++)
            if (k < loaded) v[k] = widened(packs[k]);
        if (s.first) {
#pragma unroll
            for (int k = 0; k < BATCH; k++) {
                if (k >= loaded) break;
                u32 bits = 0;
                if (s.drops) {
                    i64 at = number(g, p, row + k * p.depth);
                    bits = draw<N>(s, at);
                    masks[at / N] = (u8)bits;
                }
                forward<N>(s, bits, v[k]);
            }
        }
        f32 share = 1.f / (count + loaded), of_batch = 1.f / loaded;
#pragma unroll
        for (int i = 0; i < N; i++) {
            f32 sum = 0.f, around = 0.f;
#pragma unroll
            for (int k = 0; k < BATCH; k++)
                if (k < loaded) sum += v[k][i];
            f32 here = sum * of_batch;
#pragma unroll
            for (int k = 0; k < BATCH; k++)
                if (k < loaded) around += (v[k][i] - here) * (v[k][i] - here);
            // As `join` does, with one division for all channels.
            f32 distance = here - mean[i];
            mean[i] += distance * (loaded * share);
            square[i] += around + distance * distance * (count * loaded * share);
        }
        count += loaded;
    }
    // Numbers of neighbouring threads next to each other, so that the banks of shared memory are.
#pragma unroll
    for (int i = 0; i < N; i++) {
        means[i * 256 + threadIdx.x] = mean[i];
        squares[i * 256 + threadIdx.x] = square[i];
    }
    __syncthreads();
    // A warp puts together what a unit's channels have in all rows of threads.
    i32 row_channels = g.columns * N, first = blockIdx.y * row_channels;
    i32 width = g.channels / g.units, lane = threadIdx.x % 32;
    i32 units = min(row_channels, g.channels - first) / width;
    i64 rows = p.end - (i64)p.chunk * g.chunk;
    for (i32 unit = threadIdx.x / 32; unit < units; unit += 8) {
        Moments all = {0.f, 0.f, 0.f};
        for (i32 i = lane; i < p.depth * width; i += 32) {
            i32 down = i / width, channel = unit * width + i % width;
            i32 at = channel % N * 256 + down * g.columns + channel / N;
            i64 counted = rows > down ? (rows - down + p.depth - 1) / p.depth : 0;
            join(all, Moments{(f32)counted, means[at], squares[at]});
        }
#pragma unroll
        for (i32 apart = 16; apart > 0; apart /= 2) {
            Moments other;
            other.count = __shfl_down_sync(0xffffffffu, all.count, apart);
            other.mean = __shfl_down_sync(0xffffffffu, all.mean, apart);
            other.squares = __shfl_down_sync(0xffffffffu, all.squares, apart);
            join(all, other);
        }
        if (lane == 0) {
            f32* part = parts + (i64)blockIdx.x * 2 * g.units + first / width + unit;
            part[0] = all.mean;
            part[g.units] = all.squares;
        }
    }
}

// `parts` are the means of the units and the sums of squares around them, `[n, chunks, 2, units]`; `masks` are written
// where numbers are dropped before the norm, a byte for each pack.
KERNEL BOUNDS(256, BLOCKS) moments(f32* parts, const REAL* x, u8* masks, Geometry g, Stage s) {
    __shared__ f32 means[256 * PACK<REAL>], squares[256 * PACK<REAL>];
    if (g.width == 1) moments_of<1>(parts, x, masks, g, s, means, squares);
    else moments_of<PACK<REAL>>(parts, x, masks, g, s, means, squares);
}

// The coefficients of a thread's channels.
template <int N> struct Coefficients {
    f32 mean[N], factor[N], shift[N];
};

template <int N> DEVICE inline Coefficients<N> coefficients(const f32* statistics, const REAL* gamma, const REAL* beta,
                                                            const Geometry& g, const Place& p) {
    Coefficients<N> c;
    const f32* means = statistics + (i64)p.sample * 2 * g.groups;
    i32 width = g.channels / g.groups;
#pragma unroll
    for (int i = 0; i < N; i++) {
        i32 channel = p.channel + i;
        c.mean[i] = means[channel / width];
        c.factor[i] = means[g.groups + channel / width] * wide(gamma[channel]);
        c.shift[i] = wide(beta[channel]);
    }
    return c;
}

template <int N> DEVICE inline void standardise(const Coefficients<N>& c, Wide<REAL, N>& x) {
#pragma unroll
    for (int i = 0; i < N; i++) x[i] = (x[i] - c.mean[i]) * c.factor[i] + c.shift[i];
}

template <int N> DEVICE inline void add(Wide<REAL, N>& x, const Wide<REAL, N>& y) {
#pragma unroll
    for (int i = 0; i < N; i++) x[i] += y[i];
}

template <int N> DEVICE inline void normalise_rows(REAL* out, const REAL* x, const REAL* gamma, const REAL* beta,
                                                   const REAL* residual, const f32* statistics, u8* masks,
                                                   const Geometry& g, const Stage& s) {
    Place p = place<N>(g);
    if (!p.active) return;
    Coefficients<N> c = coefficients<N>(statistics, gamma, beta, g, p);
#pragma unroll 1
    for (i64 row = p.row; row < p.end; row += BATCH * p.depth) {
        i64 at[BATCH];
        Pack<REAL, N> packs[BATCH], residuals[BATCH];
#pragma unroll
        for (int k = 0; k < BATCH; k++) {
            at[k] = number(g, p, row + k * p.depth);
            if (row + k * p.depth >= p.end) break;
            packs[k] = load<N>(x + at[k]);
            if (residual) residuals[k] = load<N>(residual + at[k]);
        }
#pragma unroll
        for (int k = 0; k < BATCH; k++) {
            if (row + k * p.depth >= p.end) break;
            Wide<REAL, N> v = widened(packs[k]);
            u32 bits = 0;
            if (s.drops && s.first) bits = masks[at[k] / N];
            if (s.drops && !s.first) {
                bits = draw<N>(s, at[k]);
                if (masks) masks[at[k] / N] = (u8)bits;
            }
            if (s.first) forward<N>(s, bits, v);
            standardise<N>(c, v);
            if (residual) add<N>(v, widened(residuals[k]));
            if (!s.first) forward<N>(s, bits, v);
            store_narrow<N>(out + at[k], v);
        }
    }
}

// `statistics` are means and reciprocal standard deviations, `[n, 2, groups]`; `masks` are read where the stage comes
// before the norm, and written where it comes behind and they are given. Works in place.
KERNEL BOUNDS(256, BLOCKS) normalise(REAL* out, const REAL* x, const REAL* gamma, const REAL* beta, const REAL* residual,
                                const f32* statistics, u8* masks, Geometry g, Stage s) {
    if (g.width == 1) normalise_rows<1>(out, x, gamma, beta, residual, statistics, masks, g, s);
    else normalise_rows<PACK<REAL>>(out, x, gamma, beta, residual, statistics, masks, g, s);
}

// What a gradient pass reads.
struct Pass {
    const REAL *grad, *x, *residual;
    const u8* masks;
};

// A row of it.
template <int N> struct Row {
    Pack<REAL, N> grad, x, residual;
    u32 bits;
};

template <int N> DEVICE inline Row<N> read(const Pass& a, i64 at, const Stage& s) {
    Row<N> row = {};
    row.grad = load<N>(a.grad + at);
    row.x = load<N>(a.x + at);
    if (ACTIVATION != IDENTITY && a.residual) row.residual = load<N>(a.residual + at);
    row.bits = s.drops ? a.masks[at / N] : 0;
    return row;
}

// The gradient of the norm's output in `v`, and in `z` what the norm was taken of.
template <int N> DEVICE inline void gradient_row(const Row<N>& row, bool has_residual, const Coefficients<N>& c,
                                                 const Stage& s, Wide<REAL, N>& v, Wide<REAL, N>& z) {
    v = widened(row.grad);
    z = widened(row.x);
    if (s.first) return forward<N>(s, row.bits, z);
    if (ACTIVATION != IDENTITY) {
        Wide<REAL, N> u = z;
        standardise<N>(c, u);
        if (has_residual) add<N>(u, widened(row.residual));
        backward<N>(s, row.bits, v, u);
    } else if (s.drops) {
        drop<N>(v, row.bits, s.scale);
    }
}

template <int N> DEVICE inline void sum_gradients(f32* parts, REAL* of_stage, const Pass& a, const REAL* gamma,
                                                  const REAL* beta, const f32* statistics, const Geometry& g,
                                                  const Stage& s, f32* scratch) {
    Place p = place<N>(g);
    f32 plain[N] = {}, product[N] = {};
    if (p.active) {
        Coefficients<N> c = coefficients<N>(statistics, gamma, beta, g, p);
        // Places of numbers instead of rows: sums in the place of products keep the registers below the bound.
        const i64 end = number(g, p, p.end), step = (i64)p.depth * g.channels;
#pragma unroll 1
        for (i64 at = number(g, p, p.row); at < end; at += BATCH_BACKWARD * step) {
            Row<N> rows[BATCH_BACKWARD] = {};
#pragma unroll
            for (int k = 0; k < BATCH_BACKWARD; k++) {
                if (at + k * step >= end) break;
                rows[k] = read<N>(a, at + k * step, s);
            }
#pragma unroll
            for (int k = 0; k < BATCH_BACKWARD; k++) {
                if (at + k * step >= end) break;
                Wide<REAL, N> v, z;
                gradient_row<N>(rows[k], a.residual != nullptr, c, s, v, z);
                if (of_stage) store_narrow<N>(of_stage + at + k * step, v);
#pragma unroll
                for (int i = 0; i < N; i++) {
                    plain[i] += v[i];
                    product[i] += v[i] * (z[i] - c.mean[i]);
                }
            }
        }
    }
    // Numbers of neighbouring threads next to each other, so that the banks of shared memory are.
#pragma unroll
    for (int i = 0; i < N; i++) {
        scratch[i * 256 + threadIdx.x] = plain[i];
        scratch[(N + i) * 256 + threadIdx.x] = product[i];
    }
    __syncthreads();
    for (i32 task = threadIdx.x; task < 2 * N * g.columns; task += 256) {
        i32 term = task / g.columns, column = task % g.columns;
        i32 channel = (blockIdx.y * g.columns + column) * N + term % N;
        f32 sum = 0.f;
        for (i32 i = 0; i < p.depth; i++) sum += scratch[term * 256 + i * g.columns + column];
        if (channel < g.channels) parts[((i64)blockIdx.x * 2 + term / N) * g.channels + channel] = sum;
    }
}

// `parts` are the sums over each chunk of the gradient of the norm's output, and of its product with the distance from
// the mean, `[n, chunks, 2, channels]`. `of_stage`, where it is given, becomes the gradient of what went into a stage
// behind the norm.
KERNEL BOUNDS(256, 2) gradient_sums(f32* parts, REAL* of_stage, const REAL* grad, const REAL* x, const REAL* gamma,
                                    const REAL* beta, const REAL* residual, const f32* statistics, const u8* masks,
                                    Geometry g, Stage s) {
    __shared__ f32 scratch[256 * 2 * PACK<REAL>];
    Pass a = {grad, x, residual, masks};
    if (g.width == 1) sum_gradients<1>(parts, of_stage, a, gamma, beta, statistics, g, s, scratch);
    else sum_gradients<PACK<REAL>>(parts, of_stage, a, gamma, beta, statistics, g, s, scratch);
}

template <int N> DEVICE inline void combine(REAL* out, const Pass& a, const REAL* gamma, const REAL* beta,
                                            const f32* statistics, const f32* factors, const Geometry& g,
                                            const Stage& s) {
    Place p = place<N>(g);
    if (!p.active) return;
    Coefficients<N> c = coefficients<N>(statistics, gamma, beta, g, p);
    const f32* of_sample = factors + (i64)p.sample * 2 * g.groups;
    i32 width = g.channels / g.groups;
    f32 by_distance[N], shift[N];
#pragma unroll
    for (int i = 0; i < N; i++) {
        by_distance[i] = of_sample[(p.channel + i) / width];
        shift[i] = of_sample[g.groups + (p.channel + i) / width];
    }
#pragma unroll 1
    for (i64 row = p.row; row < p.end; row += BATCH_BACKWARD * p.depth) {
        Row<N> rows[BATCH_BACKWARD] = {};
#pragma unroll
        for (int k = 0; k < BATCH_BACKWARD; k++) {
            if (row + k * p.depth >= p.end) break;
            rows[k] = read<N>(a, number(g, p, row + k * p.depth), s);
        }
#pragma unroll
        for (int k = 0; k < BATCH_BACKWARD; k++) {
            if (row + k * p.depth >= p.end) break;
            Wide<REAL, N> v, z;
            gradient_row<N>(rows[k], a.residual != nullptr, c, s, v, z);
#pragma unroll
            for (int i = 0; i < N; i++) v[i] = v[i] * c.factor[i] + ((z[i] - c.mean[i]) * by_distance[i] + shift[i]);
            if (s.first) backward<N>(s, rows[k].bits, v, widened(rows[k].x));
            store_narrow<N>(out + number(g, p, row + k * p.depth), v);
        }
    }
}

// `out = g * a + ((z - mean) * b + s)`, taken back through a stage before the norm; `factors` are `b` and `s`,
// `[n, 2, groups]`. Works in the place of `grad`.
KERNEL BOUNDS(256, 2) gradient(REAL* out, const REAL* grad, const REAL* x, const REAL* gamma, const REAL* beta,
                               const REAL* residual, const f32* statistics, const f32* factors, const u8* masks,
                               Geometry g, Stage s) {
    Pass a = {grad, x, residual, masks};
    if (g.width == 1) combine<1>(out, a, gamma, beta, statistics, factors, g, s);
    else combine<PACK<REAL>>(out, a, gamma, beta, statistics, factors, g, s);
}
