// Means of a loss of pairs of numbers, and the derivatives by either side; PAIR is 0 for the squared error and 1 for the
// binary cross entropy with logits.
//
// `loss` writes the sum over each block's part, which `reduce/sum.cu` puts together: a block takes neighbouring packs of
// 16 bytes, always the same ones. It reads two numbers a pair, `gradient` reads two and writes one, the minimum; at most
// 30 operations a pair, so memory is the bottleneck.
//
// instances: REAL=f32,f16,bf16 PAIR=0,1
// targets: sm_75 sm_80 sm_90a
// budget: loss registers=44 shared=32
// budget: gradient registers=40 shared=0

DEVICE inline f32 loss_of(f32 x, f32 target) {
    if (PAIR == 0) return (x - target) * (x - target);
    return (x < 0.f ? 0.f : x) - x * target + log1pf(expf(-fabsf(x)));
}

// The sums of the losses of `part` neighbouring numbers each.
KERNEL BOUNDS(256, 4) loss(f32* sums, const REAL* x, const REAL* target, i64 count, i64 part) {
    constexpr int N = PACK<REAL>;
    i64 first = blockIdx.x * part, end = min(first + part, count);
    f32 sum = 0.f;
#pragma unroll 2
    for (i64 at = first + threadIdx.x * N; at < end; at += 256 * N) {
        Wide<REAL> v = load_wide(x, at, end), t = load_wide(target, at, end);
        f32 here = 0.f;
#pragma unroll
        for (int i = 0; i < N; i++) here += at + i < end ? loss_of(v[i], t[i]) : 0.f;
        sum += here;
    }
    sum = block_sum<256>(sum);
    if (threadIdx.x == 0) sums[blockIdx.x] = sum;
}

// The derivatives by the prediction, or by the target, times the gradient of the mean.
KERNEL BOUNDS(256, 4) gradient(REAL* out, const REAL* x, const REAL* target, const REAL* grad, i64 count,
                               i32 by_target) {
    f32 factor = wide(grad[0]) / (f32)count;
    for (i64 at = first_pack<REAL>(); at < count; at += pack_stride<REAL>()) {
        Wide<REAL> v = load_wide(x, at, count), t = load_wide(target, at, count);
#pragma unroll
        for (int i = 0; i < PACK<REAL>; i++) {
            if (PAIR == 0) v[i] = 2.f * (by_target ? t[i] - v[i] : v[i] - t[i]) * factor;
            else v[i] = (by_target ? -v[i] : logistic(v[i]) - t[i]) * factor;
        }
        store_narrow(out, at, count, v);
    }
}
