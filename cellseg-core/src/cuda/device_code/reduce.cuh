// Sums over the threads of a warp and of a block and maxima of a warp, in an order that depends on nothing but the number of threads.

/// The sum over the warp, in every lane, for f32 and f64.
template <typename T> DEVICE inline T warp_sum(T v) {
#pragma unroll
    for (i32 apart = 16; apart > 0; apart /= 2) v += __shfl_xor_sync(0xffffffffu, v, apart);
    return v;
}

/// The largest value of the warp, in every lane.
DEVICE inline f32 warp_max(f32 v) {
#pragma unroll
    for (i32 apart = 16; apart > 0; apart /= 2) v = fmaxf(v, __shfl_xor_sync(0xffffffffu, v, apart));
    return v;
}

/// The sum over a block of `THREADS` threads along x, in every thread, for f32 and f64. All of them must come here.
template <i32 THREADS, typename T> DEVICE inline T block_sum(T v) {
    static_assert(THREADS % 32 == 0, "whole warps");
    __shared__ T of_warp[THREADS / 32];
    v = warp_sum(v);
    if (threadIdx.x % 32 == 0) of_warp[threadIdx.x / 32] = v;
    __syncthreads();
    T sum = of_warp[0];
#pragma unroll
    for (i32 warp = 1; warp < THREADS / 32; warp++) sum += of_warp[warp];
    __syncthreads();  // the next call writes the same memory
    return sum;
}
