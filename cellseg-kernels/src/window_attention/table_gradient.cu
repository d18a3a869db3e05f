// The gradient of the relative position bias: the gradients of the scores, summed by the difference of the two tokens.
//
// One block of 128 threads has a line of the table, the differences along x for one difference along z and y, of one head.
// Its threads take the pairs of lines of tokens of that difference in turn, each one difference along x, so neighbours read
// neighbouring numbers of the same rows; what they found is added in the pairs' order. f64 from the line up: a difference has
// up to 343 pairs. Reads [shares, heads, tokens, tokens] once, 12 MB for 343 tokens, 3 heads and 8 shares: 4 us from L2.
//
// instances: REAL=f32,f16,bf16
// targets: sm_75 sm_80 sm_90a
// budget: table_gradient registers=64 shared=1024

constexpr i32 THREADS = 128;

/// `sums` is [shares, heads, tokens, tokens], of queries and keys; `of_table` [differences, heads]. Grid: lines, heads.
KERNEL BOUNDS(THREADS, 4) table_gradient(const f32* sums, REAL* of_table, WindowAttention g) {
    __shared__ f64 values[THREADS];
    i32 w = g.table_w, h = g.table_h, length = 2 * w - 1, d = (g.differences / (length * (2 * h - 1)) + 1) / 2;
    i32 line = blockIdx.x, head = blockIdx.y;
    i32 dz = line / (2 * h - 1) - (d - 1), dy = line % (2 * h - 1) - (h - 1);
    i32 first_z = max(dz, 0), first_y = max(dy, 0), count_z = d - abs(dz), count_y = h - abs(dy);
    i32 width = min(length, THREADS), slots = THREADS / width, slot = threadIdx.x / width;
    for (i32 base = 0; base < length; base += width) {
        i32 at = base + threadIdx.x % width, dx = at - (w - 1);
        f64 sum = 0.0;
        if (slot < slots && at < length)
            for (i32 pair = slot; pair < count_z * count_y; pair += slots) {
                i32 z = first_z + pair / count_y, y = first_y + pair % count_y;
                i32 query = (z * h + y) * w, key = ((z - dz) * h + y - dy) * w - dx;
                // Windows of fewer tokens have the first ones.
                i32 end = min(min(w + min(dx, 0), g.tokens - query), g.tokens - key);
                for (i32 share = 0; share < g.shares; share++) {
                    const f32* from = sums + (i64(share) * g.heads + head) * g.tokens * g.tokens;
                    f32 some = 0.0f;
                    for (i32 x = max(dx, 0); x < end; x++) some += from[i64(query + x) * g.tokens + key + x];
                    sum += some;
                }
            }
        values[threadIdx.x] = sum;
        __syncthreads();
        if (slot == 0 && at < length) {
            for (i32 other = 1; other < slots; other++) sum += values[other * width + threadIdx.x];
            of_table[(i64(line) * length + at) * g.heads + head] = narrow<REAL>(f32(sum));
        }
        __syncthreads();  // the next piece writes the same memory
    }
}
