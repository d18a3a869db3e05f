// The matrix instructions, one warp: operands as 16-bit numbers, sums in f32.
// instances: REAL=f16,bf16

/// Register i of lane l of `ldmatrix` over four 8x8 matrices, of which element (matrix, row, column) is its own index; then
/// of their transposes.
KERNEL fragments(u32* out) {
    __shared__ alignas(16) u16 matrices[4 * 64];
    const i32 lane = threadIdx.x;
    for (i32 i = lane; i < 256; i += 32) matrices[i] = u16(i);
    __syncthreads();
    u32 four[4];
    ldmatrix_x4(four, matrices + 8 * lane);
    for (i32 i = 0; i < 4; i++) out[32 * i + lane] = four[i];
    ldmatrix_x4_trans(four, matrices + 8 * lane);
    for (i32 i = 0; i < 4; i++) out[32 * (4 + i) + lane] = four[i];
}

/// d (16x8) = c + a (16x16) b (16x8), all by rows. The operands come by `ldmatrix`: a as four matrices, b as the two halves of
/// its rows, transposed, each twice.
KERNEL product(f32* d, const f32* c, const REAL* a, const REAL* b) {
    __shared__ alignas(16) REAL left[16 * 16];
    __shared__ alignas(16) REAL right[16 * 8];
    const i32 lane = threadIdx.x, g = lane / 4, t = lane % 4;
    cp_async16(left + 8 * lane, a + 8 * lane, true);
    cp_async16(right + 8 * (lane % 16), b + 8 * (lane % 16), true);
    cp_async_commit();
    cp_async_wait<0>();
    __syncwarp();
    u32 of_a[4], twice[4];
    ldmatrix_x4(of_a, left + 16 * (lane % 16) + 8 * (lane / 16));
    ldmatrix_x4_trans(twice, right + 8 * (lane % 16));
    const u32 of_b[2] = {twice[0], twice[1]};
    f32 sums[4];
    for (i32 e = 0; e < 4; e++) sums[e] = c[8 * (g + e / 2 * 8) + 2 * t + e % 2];
    mma_16816(sums, of_a, of_b, REAL{});
    for (i32 e = 0; e < 4; e++) d[8 * (g + e / 2 * 8) + 2 * t + e % 2] = sums[e];
}

/// d (16x8) = a (16x8) b (8x8) in tf32, the operands loaded lane by lane.
KERNEL product_tf32(f32* d, const f32* a, const f32* b) {
    const i32 lane = threadIdx.x, g = lane / 4, t = lane % 4;
    const u32 of_a[4] = {to_tf32(a[8 * g + t]), to_tf32(a[8 * (g + 8) + t]), to_tf32(a[8 * g + t + 4]),
                         to_tf32(a[8 * (g + 8) + t + 4])};
    const u32 of_b[2] = {to_tf32(b[8 * t + g]), to_tf32(b[8 * (t + 4) + g])};
    f32 sums[4] = {};
    mma_1688_tf32(sums, of_a, of_b);
    for (i32 e = 0; e < 4; e++) d[8 * (g + e / 2 * 8) + 2 * t + e % 2] = sums[e];
}

/// A copy that is not valid writes zeros and reads nothing: four numbers a thread.
KERNEL invalid_copies(u32* out, const u32* in) {
    __shared__ alignas(16) u32 values[4 * 32];
    const i32 first = 4 * threadIdx.x;
    cp_async16(values + first, threadIdx.x % 2 ? in + first : nullptr, threadIdx.x % 2);
    cp_async_commit();
    cp_async_wait<0>();
    store(out + first, load<4>(values + first));
}

/// Three groups of copies into three places, waited for one by one: four numbers a thread and group.
KERNEL groups_of_copies(u32* out, const u32* in) {
    constexpr i32 GROUP = 4 * 32;
    __shared__ alignas(16) u32 values[3 * GROUP];
    const i32 first = 4 * threadIdx.x;
    for (i32 group = 0; group < 3; group++) {
        cp_async16(values + GROUP * group + first, in + GROUP * group + first, true);
        cp_async_commit();
    }
    cp_async_wait<2>();
    store(out + first, load<4>(values + first));
    store(out + GROUP + first, load<4>(values + GROUP + first));  // not waited for
    cp_async_wait<0>();
    store(out + 2 * GROUP + first, load<4>(values + 2 * GROUP + first));
}
