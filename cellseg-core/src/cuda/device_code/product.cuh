// The product of two tiles in shared memory by the tensor cores: layouts, fragments, and the part of one warp.
//
// A tile is `DEPTH<T>` = 64 bytes deep: 32 values of 16 bits, or 16 of f32, whose products are in tf32. It holds values
// (x, k), where x is a row of the left or a column of the right matrix and k runs along the depth, in chunks of 16 bytes:
//
//   Along<T>          [x][k], chunks along the depth. Chunk c of row x lies at c ^ (x / 2) % 4, so that the eight rows that
//                     an 8x8 matrix is read from lie in different banks.
//   Across<T, WIDTH>  [k][x], chunks across it. Rows are padded for the same reason: by one chunk, or by two for f32, of
//                     which every lane reads single values.

template <typename T> constexpr i32 CHUNK = 16 / sizeof(T);
template <typename T> constexpr i32 DEPTH = 64 / sizeof(T);

template <typename T> struct Along {
    static constexpr bool ALONG = true;
    static constexpr DEVICE i32 bytes(i32 width) { return width * 64; }
    /// Where chunk `chunk` of row x begins.
    static DEVICE i32 offset(i32 x, i32 chunk) { return x * 64 + (chunk ^ (x >> 1 & 3)) * 16; }
};

template <typename T, i32 WIDTH> struct Across {
    static constexpr bool ALONG = false;
    static constexpr i32 PITCH = WIDTH * i32(sizeof(T)) + 8 * i32(sizeof(T));
    static constexpr DEVICE i32 bytes(i32) { return DEPTH<T> * PITCH; }
    /// Where chunk `chunk` of row k begins.
    static DEVICE i32 offset(i32 k, i32 chunk) { return k * PITCH + chunk * 16; }
};

#if defined(CELLSEG_EMULATED) || __CUDA_ARCH__ >= 800
/// Sixteen x from x0 on, of half `half` of a tile's depth, as `mma` takes them: one left fragment, or two right ones.
template <typename T, typename Layout, bool RIGHT>
DEVICE inline void load_fragment(u32 (&r)[4], const u8* tile, i32 x0, i32 half) {
    i32 lane = threadIdx.x & 31;
    if constexpr (sizeof(T) == 4 && !Layout::ALONG) {
#pragma unroll
        for (i32 i = 0; i < 4; i++) {
            i32 x = x0 + (RIGHT ? i >> 1 : i & 1) * 8 + (lane >> 2), k = half * 8 + (RIGHT ? i & 1 : i >> 1) * 4 + (lane & 3);
            r[i] = *reinterpret_cast<const u32*>(tile + Layout::offset(k, 0) + x * 4);
        }
    } else {
        // The four 8x8 matrices: the upper x second and the upper k third on the left, the other way round on the right.
        i32 upper_x = (RIGHT ? lane >> 4 : lane >> 3) & 1, upper_k = (RIGHT ? lane >> 3 : lane >> 4) & 1;
        if constexpr (Layout::ALONG)
            ldmatrix_x4(r, tile + Layout::offset(x0 + 8 * upper_x + (lane & 7), 2 * half + upper_k));
        else
            ldmatrix_x4_trans(r, tile + Layout::offset(16 * half + 8 * upper_k + (lane & 7), x0 / 8 + upper_x));
    }
    if constexpr (sizeof(T) == 4) {
#pragma unroll
        for (i32 i = 0; i < 4; i++) r[i] = to_tf32(__uint_as_float(r[i]));
    }
}

template <typename T> DEVICE inline void multiply_add(f32 (&d)[4], const u32 (&a)[4], const u32 (&b)[2]) {
    if constexpr (sizeof(T) == 4)
        mma_1688_tf32(d, a, b);
    else
        mma_16816(d, a, b, T{});
}

/// sums += left (rows m0..) times right (columns n0..), over the tiles' depth. Of a sum of 16x8, lane l holds row l / 4,
/// columns 2 (l % 4) and the next, and the same of row l / 4 + 8.
template <typename T, typename Left, typename Right, i32 M, i32 N>
DEVICE inline void add_product(f32 (&sums)[M][N][4], const u8* left, i32 m0, const u8* right, i32 n0) {
    static_assert(N % 2 == 0, "right fragments come in pairs");
#pragma unroll
    for (i32 half = 0; half < 2; half++) {
        u32 a[M][4], b[N][2];
#pragma unroll
        for (i32 i = 0; i < M; i++) load_fragment<T, Left, false>(a[i], left, m0 + 16 * i, half);
#pragma unroll
        for (i32 j = 0; j < N; j += 2) {
            u32 pair[4];
            load_fragment<T, Right, true>(pair, right, n0 + 8 * j, half);
            b[j][0] = pair[0], b[j][1] = pair[1], b[j + 1][0] = pair[2], b[j + 1][1] = pair[3];
        }
#pragma unroll
        for (i32 i = 0; i < M; i++)
#pragma unroll
            for (i32 j = 0; j < N; j++) multiply_add<T>(sums[i][j], a[i], b[j]);
    }
}
#endif
