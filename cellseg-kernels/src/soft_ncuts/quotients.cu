// The end of SoftNCuts: associations to quotients, the gradient's coefficients, and the loss, all in f64 on the device.
//
// quotients  One block a class and item adds the sums of the parts up in their order. Reads 16 bytes a part: 64 kB at
//            64^3 and radius 2, latency alone.
// loss       One warp adds the quotients up.
//
// instances: REAL=f32,f16,bf16
// targets: sm_75 sm_80 sm_90a
// budget: quotients registers=64 shared=64
// budget: loss registers=48 shared=0

struct Ends {
    i32 n, k;
    i32 channels;           // whose slopes are wanted; 0 without a gradient and for the exact form
    i32 parts;              // of an item
    i32 quantities;         // of a part
    i32 exact;              // the form
    f32 least_association;  // what keeps the quotient of an empty class finite
    f32 steepness;          // 4 / sigma_intensity^2
};

constexpr i32 THREADS = 256;

/// Of `sums` [n][parts][quantities][k]: the absolute quotients, [n][k], and the coefficients of the gradient,
/// [n][2 + channels][k]. `masses` [n][k] is what the means were divided by. Grid: k, n.
KERNEL BOUNDS(THREADS, 4) quotients(const f64* sums, const f64* masses, f64* quotients, f32* coefficients, Ends g) {
    i32 item = blockIdx.y, class_ = blockIdx.x;
    auto sum_of = [&](i32 quantity) {
        f64 sum = 0.0;
        for (i32 part = threadIdx.x; part < g.parts; part += THREADS)
            sum += sums[((i64(item) * g.parts + part) * g.quantities + quantity) * g.k + class_];
        return block_sum<THREADS>(sum);
    };
    f64 inside = sum_of(0), all = sum_of(1) + f64(g.least_association), quotient = inside / all;
    // The derivative of -|quotient|, which PyTorch takes as zero at zero; the exact form's is positive as it is.
    f64 sign = g.exact || quotient > 0.0 ? -1.0 : quotient < 0.0 ? 1.0 : quotient * 0.0;
    f64 of_inside = sign / g.n / all, of_all = of_inside * quotient;
    f32* out = coefficients + i64(item) * (2 + g.channels) * g.k + class_;
    if (threadIdx.x == 0) {
        quotients[i64(item) * g.k + class_] = fabs(quotient);
        // Each pair stands for two in the exact form's gradient, and its degree enters with the opposite sign.
        out[0] = f32(g.exact ? 2.0 * of_inside : of_inside);
        out[g.k] = f32(g.exact ? -of_all : of_all);
    }
    for (i32 channel = 0; channel < g.channels; channel++) {
        f64 with = sum_of(2 + 2 * channel), without = sum_of(3 + 2 * channel);
        f64 slope = (of_inside * with - of_all * without) * f64(g.steepness) / masses[i64(item) * g.k + class_];
        if (threadIdx.x == 0) out[i64(2 + channel) * g.k] = f32(slope);
    }
}

/// The number of classes less the mean over items of the quotients' sum. Grid: one block of one warp.
KERNEL BOUNDS(32, 1) loss(const f64* quotients, REAL* out, Ends g) {
    f64 sum = 0.0;
    for (i64 i = threadIdx.x; i < i64(g.n) * g.k; i += 32) sum += quotients[i];
    sum = warp_sum(sum);
    if (threadIdx.x == 0) *out = narrow<REAL>(f32(g.k - sum / g.n));
}
