// `factor * x` repeated along some axes.
//
// A thread writes a pack of 16 bytes at a time, and finds where each of its numbers comes from; a grid strides over the
// output. No shared memory. What is read is read again from a cache; the write is the minimum. Where the pack lies in one
// row of the last axis its place is found once, by a division for each other axis.
//
// instances: REAL=f32,f16,bf16
// targets: sm_75 sm_80 sm_90a
// budget: broadcast registers=40 shared=0

// The axes of the output from `first` on, neighbours that are repeated or not alike being one.
struct Axes {
    i64 extents[6];
    // The distance between neighbours in `x`: zero where it is repeated.
    i64 strides[6];
    i32 first;
};

// Where number `at` of the output lies in the input, and its place along the last axis.
DEVICE inline i64 source(const Axes& axes, i64 at, i64& last) {
    i64 above = quotient(at, axes.extents[5]);
    last = at - above * axes.extents[5];
    i64 offset = last * axes.strides[5];
#pragma unroll
    for (i32 i = 4; i >= 0; i--) {
        if (i < axes.first) break;
        at = above;
        above = quotient(at, axes.extents[i]);
        offset += (at - above * axes.extents[i]) * axes.strides[i];
    }
    return offset;
}

KERNEL BOUNDS(256, 4) broadcast(REAL* out, const REAL* x, i64 count, Axes axes, f32 factor) {
    constexpr int N = PACK<REAL>;
    i64 row = axes.extents[5], step = axes.strides[5];
    for (i64 at = first_pack<REAL>(); at < count; at += pack_stride<REAL>()) {
        Wide<REAL> v;
        i64 last;
        i64 from = source(axes, at, last);
        if (last + N <= row) {
#pragma unroll
            for (int i = 0; i < N; i++) v[i] = wide(x[from + i * step]) * factor;
        } else {
            for (int i = 0; i < N; i++)
                v[i] = at + i < count ? wide(x[source(axes, at + i, last)]) * factor : 0.f;
        }
        store_narrow(out, at, count, v);
    }
}
