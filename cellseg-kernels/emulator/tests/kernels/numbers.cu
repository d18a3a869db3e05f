// Conversions, random words, exchanges and sums, for comparison with what the host computes.
// instances: REAL=f16,bf16

/// Both halves of the numbers of 16 bits.
KERNEL widen(f32* out, const REAL* in, i32 count) {
    for (i32 i = blockIdx.x * blockDim.x + threadIdx.x; i < count; i += gridDim.x * blockDim.x) out[i] = wide(in[i]);
}

KERNEL round(REAL* out, const f32* in, i32 count) {
    for (i32 i = blockIdx.x * blockDim.x + threadIdx.x; i < count; i += gridDim.x * blockDim.x) {
        out[i] = narrow<REAL>(in[i]);
        const u32 both = narrow2<REAL>(in[i], -in[i]);
        if (u16(both) != out[i].bits) out[i].bits = 0xdead;
        if (u16(both >> 16) != narrow<REAL>(-in[i]).bits) out[i].bits = 0xdead;
    }
}

KERNEL round_to_tf32(f32* out, const f32* in, i32 count) {
    for (i32 i = blockIdx.x * blockDim.x + threadIdx.x; i < count; i += gridDim.x * blockDim.x)
        out[i] = __uint_as_float(to_tf32(in[i]));
}

KERNEL random_words(u32* out, u64 key, u64 first) {
    const Words words = philox(key, first + threadIdx.x);
    for (i32 k = 0; k < 4; k++) out[4 * threadIdx.x + k] = words.w[k];
}

/// Row k of `out` holds what exchange k gives each of the 64 threads.
KERNEL exchanges(f32* out) {
    const i32 i = threadIdx.x;
    const f32 x = f32(i);
    out[i] = __shfl_sync(0xffffffffu, x, 3);
    out[64 + i] = __shfl_sync(0xffffffffu, x, i + 1, 8);
    out[128 + i] = __shfl_xor_sync(0xffffffffu, x, 5);
    out[192 + i] = __shfl_up_sync(0xffffffffu, x, 2);
    out[256 + i] = __shfl_down_sync(0xffffffffu, x, 2, 16);
    out[320 + i] = f32(__popc(__ballot_sync(0xffffffffu, i % 3 == 0)));
    // Two halves of a warp at different exchanges, each with its own mask.
    if (i % 32 < 16) out[384 + i] = __shfl_xor_sync(0x0000ffffu, x, 1);
    else out[384 + i] = __shfl_xor_sync(0xffff0000u, x, 2);
    out[448 + i] = warp_sum(x);
    out[512 + i] = block_sum<64>(x);
    out[576 + i] = warp_max(-x);
    out[640 + i] = f32(block_sum<64>(f64(i)));
}

/// Threads that leave early are waited for by nobody.
KERNEL early_leavers(f32* out) {
    if (threadIdx.x >= 40) return;
    __syncthreads();
    out[threadIdx.x] = __shfl_sync(0x000000ffu << 8 * (threadIdx.x % 32 / 8), f32(threadIdx.x), threadIdx.x / 8 * 8 % 32);
    __syncthreads();
}
