// Walks over arrays in packs of 16 bytes, computed on as f32.
//
// A kernel for each number on its own is
//     for (i64 at = first_pack<T>(); at < count; at += pack_stride<T>()) { Wide<T> v = load_wide(x, at, count); ..; store_narrow(out, at, count, v); }
// and works in place, since all of a pack is read before it is written.

// Numbers of a pack.
template <typename T> constexpr int PACK = 16 / sizeof(T);

template <typename T, int N = PACK<T>> struct Wide {
    f32 v[N];
    DEVICE f32& operator[](int i) { return v[i]; }
    DEVICE f32 operator[](int i) const { return v[i]; }
};

template <typename T, i32 N> DEVICE inline Wide<T, N> widened(const Pack<T, N>& pack) {
    Wide<T, N> x;
#pragma unroll
    for (int i = 0; i < N; i++) x[i] = wide(pack.v[i]);
    return x;
}

// N numbers from `p` on, which must be aligned to all of them.
template <int N, typename T> DEVICE inline Wide<T, N> widened(const T* p) { return widened(load<N>(p)); }

template <int N, typename T> DEVICE inline void store_narrow(T* p, const Wide<T, N>& x) {
    Pack<T, N> pack;
#pragma unroll
    for (int i = 0; i < N; i++) pack.v[i] = narrow<T>(x[i]);
    store<N>(p, pack);
}

// The pack that begins at number `at` of an array of `count` numbers; zeros beyond its end.
template <typename T> DEVICE inline Wide<T> load_wide(const T* p, i64 at, i64 count) {
    constexpr int N = PACK<T>;
    if (at + N <= count) return widened<N>(p + at);
    Wide<T> x;
#pragma unroll
    for (int i = 0; i < N; i++) x[i] = at + i < count ? wide(p[at + i]) : 0.f;
    return x;
}

// Writes the pack that begins at number `at` of an array of `count` numbers, up to its end.
template <typename T> DEVICE inline void store_narrow(T* p, i64 at, i64 count, const Wide<T>& x) {
    constexpr int N = PACK<T>;
    if (at + N <= count) return store_narrow<N>(p + at, x);
#pragma unroll
    for (int i = 0; i < N; i++)
        if (at + i < count) p[at + i] = narrow<T>(x[i]);
}

// Where this thread's first pack begins, and how far it is to the next: the grid strides over the array.
template <typename T> DEVICE inline i64 first_pack() { return ((i64)blockIdx.x * blockDim.x + threadIdx.x) * PACK<T>; }
template <typename T> DEVICE inline i64 pack_stride() { return (i64)gridDim.x * blockDim.x * PACK<T>; }

// a / b for numbers that are not negative: in 32 bits where both fit, which takes a third of the instructions.
DEVICE inline i64 quotient(i64 a, i64 b) {
    if (((a | b) >> 32) == 0) return (u32)a / (u32)b;
    return a / b;
}

// The sum over `lanes` neighbouring threads of a warp, a power of two, in each of them. All of the warp must come here.
DEVICE inline f32 lanes_sum(f32 v, i32 lanes) {
    for (i32 apart = lanes / 2; apart > 0; apart /= 2) v += __shfl_xor_sync(0xffffffffu, v, apart);
    return v;
}
