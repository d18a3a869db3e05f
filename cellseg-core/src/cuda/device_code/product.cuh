// The product of two tiles in shared memory by the tensor cores: layouts, fragments, and the part of one warp.
//
// A tile is `DEPTH<T>` = 64 bytes deep: 32 values of 16 bits, or 16 of f32, whose products are in tf32. It holds values
// (x, k), where x is a row of the left or a column of the right matrix and k runs along the depth, in chunks of 16 bytes:
//
//   Along<T>          [x][k], chunks along the depth. Chunk c of row x lies at c ^ (x / 2) % 4, so that the eight rows that
//                     an 8x8 matrix is read from lie in different banks.
//   Across<T, COUNT>  [k][x] with COUNT x, chunks across the depth. Rows are padded for the same reason: by one chunk, or
//                     by two for f32, of which every lane reads single values.

template <typename T> constexpr i32 CHUNK = 16 / sizeof(T);
template <typename T> constexpr i32 DEPTH = 64 / sizeof(T);

template <typename T> struct Along {
    static constexpr bool ALONG = true;
    static constexpr DEVICE i32 bytes(i32 count) { return count * 64; }
    /// Where chunk `chunk` of row x begins. Rows 8 apart are 512 bytes apart.
    static DEVICE i32 offset(i32 x, i32 chunk) { return x * 64 + (chunk ^ (x >> 1 & 3)) * 16; }
};

template <typename T, i32 COUNT> struct Across {
    static constexpr bool ALONG = false;
    static constexpr i32 PITCH = COUNT * i32(sizeof(T)) + 8 * i32(sizeof(T));
    static constexpr DEVICE i32 bytes(i32) { return DEPTH<T> * PITCH; }
    /// Where chunk `chunk` of row k begins.
    static DEVICE i32 offset(i32 k, i32 chunk) { return k * PITCH + chunk * 16; }
};

#if defined(CELLSEG_EMULATED) || __CUDA_ARCH__ >= 800
/// What a warp reads of a tile, from x0 on, a multiple of 8: sixteen x of half its depth at a time, as `mma` takes them:
/// one left fragment, or two right ones. Everything but the fragment's number is found out once.
template <typename T, typename Layout, bool RIGHT> struct Fragments {
    i32 start;  // where this lane reads first

    DEVICE explicit Fragments(i32 x0) {
        i32 lane = threadIdx.x & 31;
        // The four 8x8 matrices: the upper x second and the upper k third on the left, the other way round on the right.
        i32 upper_x = (RIGHT ? lane >> 4 : lane >> 3) & 1, upper_k = (RIGHT ? lane >> 3 : lane >> 4) & 1;
        if constexpr (Layout::ALONG)
            start = x0 * 64 + Layout::offset(8 * upper_x + (lane & 7), upper_k);
        else if constexpr (sizeof(T) == 4)
            start = Layout::offset(lane & 3, 0) + (x0 + (lane >> 2)) * 4;
        else
            start = Layout::offset(8 * upper_k + (lane & 7), x0 / 8 + upper_x);
    }

    DEVICE void load(u32 (&r)[4], const u8* tile, i32 number, i32 half) const {
        if constexpr (Layout::ALONG) {
            // The second half is two chunks further, which is one bit of the swizzled chunk.
            ldmatrix_x4(r, tile + (start ^ half * 32) + number * 1024);
        } else if constexpr (sizeof(T) == 4) {
            const u8* from = tile + start + half * 8 * Layout::PITCH + number * 64;
#pragma unroll
            for (i32 i = 0; i < 4; i++) {
                i32 upper_x = RIGHT ? i >> 1 : i & 1, upper_k = RIGHT ? i & 1 : i >> 1;
                r[i] = *reinterpret_cast<const u32*>(from + upper_k * 4 * Layout::PITCH + upper_x * 32);
            }
        } else {
            ldmatrix_x4_trans(r, tile + start + half * 16 * Layout::PITCH + number * 32);
        }
        if constexpr (sizeof(T) == 4) {
#pragma unroll
            for (i32 i = 0; i < 4; i++) r[i] = to_tf32(__uint_as_float(r[i]));
        }
    }
};

template <typename T> DEVICE inline void multiply_add(f32 (&d)[4], const u32 (&a)[4], const u32 (&b)[2]) {
    if constexpr (sizeof(T) == 4)
        mma_1688_tf32(d, a, b);
    else
        mma_16816(d, a, b, T{});
}

/// sums += the warp's rows of the left tile times its columns of the right one, over the tiles' depth. Of a sum of 16x8,
/// lane l holds row l / 4, columns 2 (l % 4) and the next, and the same of row l / 4 + 8.
template <typename T, typename Left, typename Right, i32 HEIGHT_16, i32 WIDTH_8>
DEVICE inline void add_product(f32 (&sums)[HEIGHT_16][WIDTH_8][4], const u8* left_tile, const Fragments<T, Left, false>& left,
                               const u8* right_tile, const Fragments<T, Right, true>& right) {
    static_assert(WIDTH_8 % 2 == 0, "right fragments come in pairs");
#pragma unroll
    for (i32 half = 0; half < 2; half++) {
        u32 a[HEIGHT_16][4], b[WIDTH_8][2];
#pragma unroll
        for (i32 i = 0; i < HEIGHT_16; i++) left.load(a[i], left_tile, i, half);
#pragma unroll
        for (i32 j = 0; j < WIDTH_8; j += 2) {
            u32 pair[4];
            right.load(pair, right_tile, j / 2, half);
            b[j][0] = pair[0], b[j][1] = pair[1], b[j + 1][0] = pair[2], b[j + 1][1] = pair[3];
        }
#pragma unroll
        for (i32 i = 0; i < HEIGHT_16; i++)
#pragma unroll
            for (i32 j = 0; j < WIDTH_8; j++) multiply_add<T>(sums[i][j], a[i], b[j]);
    }
}
#endif
