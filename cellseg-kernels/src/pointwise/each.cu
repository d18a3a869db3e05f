// A function of each number, and its gradient; the table of functions is that of functions.rs.
//
// A thread takes a pack of 16 bytes at a time; a grid strides over the array. No shared memory. `value` moves the minimum
// of one read and one write, `gradient` that of two reads and one write: at most 20 floating point operations a number
// (the error function's), so memory is the bottleneck. Either works in place.
//
// instances: REAL=f32,f16,bf16 FUNCTION=0,1,2,3,4,5,6,7,8,9,10
// targets: sm_75 sm_80 sm_90a
// budget: value registers=53 shared=0
// budget: gradient registers=64 shared=0

// Behind the activations.
enum : int { EXP = 6, LN = 7, SQRT = 8, SQUARE = 9, ABS = 10 };

template <int KIND> DEVICE inline f32 function(f32 x, f32 setting) {
    if constexpr (KIND == EXP) return expf(x);
    if constexpr (KIND == LN) return logf(x);
    if constexpr (KIND == SQRT) return sqrtf(x);
    if constexpr (KIND == SQUARE) return x * x;
    if constexpr (KIND == ABS) return fabsf(x);
    return activate<KIND>(x, setting);
}

// `at` is the function's value or its input, as `Function::FROM_OUTPUT` says.
template <int KIND> DEVICE inline f32 function_gradient(f32 g, f32 at, f32 setting) {
    if constexpr (KIND == EXP) return g * at;
    if constexpr (KIND == LN) return g / at;
    if constexpr (KIND == SQRT) return g / (at + at);
    if constexpr (KIND == SQUARE) return g * (at + at);
    if constexpr (KIND == ABS) return at > 0.f ? g : at < 0.f ? -g : g * 0.f;
    return activation_gradient<KIND>(g, at, setting);
}

KERNEL BOUNDS(256, 4) value(REAL* out, const REAL* x, i64 count, f32 setting) {
    for (i64 at = first_pack<REAL>(); at < count; at += pack_stride<REAL>()) {
        Wide<REAL> v = load_wide(x, at, count);
#pragma unroll
        for (int i = 0; i < PACK<REAL>; i++) v[i] = function<FUNCTION>(v[i], setting);
        store_narrow(out, at, count, v);
    }
}

KERNEL BOUNDS(256, 4) gradient(REAL* out, const REAL* grad, const REAL* at, i64 count, f32 setting) {
    for (i64 i = first_pack<REAL>(); i < count; i += pack_stride<REAL>()) {
        Wide<REAL> g = load_wide(grad, i, count), v = load_wide(at, i, count);
#pragma unroll
        for (int j = 0; j < PACK<REAL>; j++) g[j] = function_gradient<FUNCTION>(g[j], v[j], setting);
        store_narrow(out, i, count, g);
    }
}
