// Sums, differences, products and quotients of pairs of numbers, and `factor * x + shift`.
//
// A thread takes a pack of 16 bytes at a time; a grid strides over the array. No shared memory. Pairs move two reads and
// one write, the linear function one of each, which is the minimum, for one operation: memory is the bottleneck. All work
// in place.
//
// instances: REAL=f32,f16,bf16
// targets: sm_75 sm_80 sm_90a
// budget: add registers=40 shared=0
// budget: sub registers=40 shared=0
// budget: mul registers=40 shared=0
// budget: div registers=39 shared=0
// budget: linear registers=32 shared=0

template <typename F> DEVICE inline void pairs(REAL* out, const REAL* a, const REAL* b, i64 count, F f) {
    for (i64 at = first_pack<REAL>(); at < count; at += pack_stride<REAL>()) {
        Wide<REAL> x = load_wide(a, at, count), y = load_wide(b, at, count);
#pragma unroll
        for (int i = 0; i < PACK<REAL>; i++) x[i] = f(x[i], y[i]);
        store_narrow(out, at, count, x);
    }
}

KERNEL BOUNDS(256, 4) add(REAL* out, const REAL* a, const REAL* b, i64 count) {
    pairs(out, a, b, count, [](f32 x, f32 y) { return x + y; });
}

KERNEL BOUNDS(256, 4) sub(REAL* out, const REAL* a, const REAL* b, i64 count) {
    pairs(out, a, b, count, [](f32 x, f32 y) { return x - y; });
}

KERNEL BOUNDS(256, 4) mul(REAL* out, const REAL* a, const REAL* b, i64 count) {
    pairs(out, a, b, count, [](f32 x, f32 y) { return x * y; });
}

KERNEL BOUNDS(256, 4) div(REAL* out, const REAL* a, const REAL* b, i64 count) {
    pairs(out, a, b, count, [](f32 x, f32 y) { return x / y; });
}

KERNEL BOUNDS(256, 4) linear(REAL* out, const REAL* x, i64 count, f32 factor, f32 shift) {
    for (i64 at = first_pack<REAL>(); at < count; at += pack_stride<REAL>()) {
        Wide<REAL> v = load_wide(x, at, count);
#pragma unroll
        for (int i = 0; i < PACK<REAL>; i++) v[i] = v[i] * factor + shift;
        store_narrow(out, at, count, v);
    }
}
