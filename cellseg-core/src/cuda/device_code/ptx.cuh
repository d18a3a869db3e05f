// The PTX instructions that the kernels use. Each is a function with two bodies: the instruction, and for the emulated
// device its meaning, lane by lane, as the PTX ISA manual tells it (sections "Warp Level Matrix Multiply-Accumulate
// Instructions" and "Data Movement: Asynchronous copy"). The instructions on matrices are for whole warps: all 32 lanes
// must come to them together.
//
// Fragments, for lane l with g = l / 4 and t = l % 4; a register of two 16-bit values holds the lower column (row for B) in
// its lower half:
//   m16n8k16  a[0]: row g,     columns 2t, 2t+1      a[2]: row g,     columns 2t+8, 2t+9
//             a[1]: row g + 8, columns 2t, 2t+1      a[3]: row g + 8, columns 2t+8, 2t+9
//             b[0]: rows 2t, 2t+1, column g          b[1]: rows 2t+8, 2t+9, column g
//   m16n8k8   a[0]: row g, column t    a[1]: row g + 8, column t    a[2]: row g, column t+4    a[3]: row g + 8, column t+4
//             b[0]: row t, column g    b[1]: row t+4, column g
//   both      d[0], d[1]: row g, columns 2t, 2t+1    d[2], d[3]: row g + 8, columns 2t, 2t+1

#ifndef CELLSEG_EMULATED
DEVICE inline u32 shared_address(const void* p) { return u32(__cvta_generic_to_shared(p)); }
#endif

/// Starts a copy of 16 bytes from global to shared memory, both aligned to 16; zeros are written where `!valid`, and
/// `global`, which must be aligned all the same, is not read. Before sm_80 the copy is made at once.
DEVICE inline void cp_async16(void* shared, const void* global, bool valid) {
#ifdef CELLSEG_EMULATED
    cellseg_emulated::cp_async(shared, global, 16, valid);
#elif __CUDA_ARCH__ >= 800
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(shared_address(shared)), "l"(global),
                 "r"(valid ? 16 : 0)
                 : "memory");
#else
    Pack<u32, 4> four = {};
    if (valid) four = load<4>(static_cast<const u32*>(global));
    store(static_cast<u32*>(shared), four);
#endif
}

/// As `cp_async16`, through the first-level cache: for what other threads of the multiprocessor soon copy again.
DEVICE inline void cp_async16_cached(void* shared, const void* global, bool valid) {
#if !defined(CELLSEG_EMULATED) && __CUDA_ARCH__ >= 800
    asm volatile("cp.async.ca.shared.global [%0], [%1], 16, %2;" ::"r"(shared_address(shared)), "l"(global),
                 "r"(valid ? 16 : 0)
                 : "memory");
#else
    cp_async16(shared, global, valid);
#endif
}

/// Ends the group of the copies that this thread started since the last call.
DEVICE inline void cp_async_commit() {
#ifdef CELLSEG_EMULATED
    cellseg_emulated::cp_async_commit();
#elif __CUDA_ARCH__ >= 800
    asm volatile("cp.async.commit_group;" ::: "memory");
#endif
}

/// Waits until at most the latest `N` groups of this thread are unfinished. Others see the copies after a barrier only.
template <i32 N> DEVICE inline void cp_async_wait() {
#ifdef CELLSEG_EMULATED
    cellseg_emulated::cp_async_wait(N);
#elif __CUDA_ARCH__ >= 800
    asm volatile("cp.async.wait_group %0;" ::"n"(N) : "memory");
#endif
}

#ifdef CELLSEG_EMULATED
/// What both forms of `ldmatrix` mean: lane 8i + j names row j (8 values of 16 bits) of matrix i; register i of lane l
/// gets row l / 4, columns 2 (l % 4) and the next of matrix i, or of its transpose.
DEVICE inline void ldmatrix_emulated(u32 (&r)[4], const void* shared, bool transposed) {
    struct Slot {
        const u16* row;
        u32 r[4];
        bool transposed;
    };
    Slot mine{static_cast<const u16*>(shared), {}, transposed};
    cellseg_emulated::whole_warp("ldmatrix", mine, [](Slot* (&lanes)[32]) {
        for (i32 i = 0; i < 4; i++) {
            for (i32 j = 0; j < 8; j++) cellseg_emulated::check_shared("ldmatrix", lanes[8 * i + j]->row, 16);
            for (i32 l = 0; l < 32; l++) {
                i32 row = l / 4, column = 2 * (l % 4);
                auto at = [&](i32 y, i32 x) { return u32(lanes[8 * i + y]->row[x]); };
                lanes[l]->r[i] = lanes[l]->transposed ? at(column, row) | at(column + 1, row) << 16
                                                      : at(row, column) | at(row, column + 1) << 16;
            }
        }
    });
    for (i32 i = 0; i < 4; i++) r[i] = mine.r[i];
}
#endif

/// Loads four 8x8 matrices of 16-bit values: lane 8i + j gives the address of row j of matrix i, aligned to 16 bytes.
DEVICE inline void ldmatrix_x4(u32 (&r)[4], const void* shared) {
#ifdef CELLSEG_EMULATED
    ldmatrix_emulated(r, shared, false);
#else
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
                 : "r"(shared_address(shared)));
#endif
}

/// As `ldmatrix_x4`, each matrix transposed.
DEVICE inline void ldmatrix_x4_trans(u32 (&r)[4], const void* shared) {
#ifdef CELLSEG_EMULATED
    ldmatrix_emulated(r, shared, true);
#else
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
                 : "r"(shared_address(shared)));
#endif
}

/// The value rounded to tf32 (10 bits of fraction), ties away from zero; an operand of `mma_1688_tf32`.
DEVICE inline u32 to_tf32(f32 x) {
#if !defined(CELLSEG_EMULATED) && __CUDA_ARCH__ >= 800
    u32 bits;
    asm("cvt.rna.tf32.f32 %0, %1;" : "=r"(bits) : "f"(x));
    return bits;
#else
    u32 bits = __float_as_uint(x), magnitude = bits & 0x7fffffffu;
    if (magnitude > 0x7f800000u) return 0x7fffffffu;
    return magnitude == 0x7f800000u ? bits : (bits + 0x1000u) & 0xffffe000u;
#endif
}

#ifdef CELLSEG_EMULATED
/// d += a b by the whole warp; `Wide::at(register, i)` is value i of an operand's register.
template <i32 DEPTH, typename Wide>
DEVICE inline void mma_emulated(const char* name, f32 (&d)[4], const u32 (&a)[4], const u32 (&b)[2], Wide) {
    struct Slot {
        u32 a[4], b[2];
        f32 d[4];
    };
    Slot mine{{a[0], a[1], a[2], a[3]}, {b[0], b[1]}, {d[0], d[1], d[2], d[3]}};
    cellseg_emulated::whole_warp(name, mine, [](Slot* (&lanes)[32]) {
        constexpr i32 EACH = DEPTH / 8;  // values in a register
        f32 left[16][DEPTH], right[DEPTH][8], sums[16][8];
        for (i32 l = 0; l < 32; l++) {
            i32 g = l / 4, t = l % 4;
            for (i32 half = 0; half < 2; half++)
                for (i32 i = 0; i < EACH; i++) {
                    i32 k = EACH * t + i + DEPTH / 2 * half;
                    left[g][k] = Wide::at(lanes[l]->a[2 * half], i);
                    left[g + 8][k] = Wide::at(lanes[l]->a[2 * half + 1], i);
                    right[k][g] = Wide::at(lanes[l]->b[half], i);
                }
            for (i32 e = 0; e < 4; e++) sums[g + e / 2 * 8][2 * t + e % 2] = lanes[l]->d[e];
        }
        for (i32 row = 0; row < 16; row++)
            for (i32 k = 0; k < DEPTH; k++)
                for (i32 column = 0; column < 8; column++) sums[row][column] += left[row][k] * right[k][column];
        for (i32 l = 0; l < 32; l++)
            for (i32 e = 0; e < 4; e++) lanes[l]->d[e] = sums[l / 4 + e / 2 * 8][2 * (l % 4) + e % 2];
    });
    for (i32 e = 0; e < 4; e++) d[e] = mine.d[e];
}
struct WideF16 {
    static f32 at(u32 both, i32 half) { return wide(f16{u16(both >> 16 * half)}); }
};
struct WideBf16 {
    static f32 at(u32 both, i32 half) { return wide(bf16{u16(both >> 16 * half)}); }
};
struct WideTf32 {
    static f32 at(u32 bits, i32) { return __uint_as_float(bits & 0xffffe000u); }  // the unit ignores the last 13 bits
};
#endif

#if defined(CELLSEG_EMULATED) || __CUDA_ARCH__ >= 800
/// d (16x8) += a (16x16, rows) b (16x8, columns), products and sums in f32. The last argument only names the type.
DEVICE inline void mma_16816(f32 (&d)[4], const u32 (&a)[4], const u32 (&b)[2], f16) {
#ifdef CELLSEG_EMULATED
    mma_emulated<16>("mma.m16n8k16.f16", d, a, b, WideF16{});
#else
    asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
                 "{%0, %1, %2, %3};"
                 : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
#endif
}
DEVICE inline void mma_16816(f32 (&d)[4], const u32 (&a)[4], const u32 (&b)[2], bf16) {
#ifdef CELLSEG_EMULATED
    mma_emulated<16>("mma.m16n8k16.bf16", d, a, b, WideBf16{});
#else
    asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
                 "{%0, %1, %2, %3};"
                 : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
#endif
}

/// d (16x8) += a (16x8, rows) b (8x8, columns) of tf32 operands, products and sums in f32.
DEVICE inline void mma_1688_tf32(f32 (&d)[4], const u32 (&a)[4], const u32 (&b)[2]) {
#ifdef CELLSEG_EMULATED
    mma_emulated<8>("mma.m16n8k8.tf32", d, a, b, WideTf32{});
#else
    asm volatile("mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
                 "{%0, %1, %2, %3};"
                 : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
#endif
}
#endif

/// 2 to the power of x, to 2 units in the last place; subnormal values count as 0.
DEVICE inline f32 exp2_fast(f32 x) {
#ifdef CELLSEG_EMULATED
    f32 y = exp2f(x);
    return y < 0x1p-126f ? 0.0f : y;
#else
    f32 y;
    asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
    return y;
#endif
}
