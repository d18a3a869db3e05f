// What only Hopper has (sm_90a): barriers that count arriving bytes, the copy engine that fetches boxes of a tensor (TMA),
// and the product of matrices by four warps (wgmma). As in ptx.cuh, each function has two bodies. PTX ISA manual, sections
// "mbarrier", "cp.async.bulk.tensor", "Asynchronous Warpgroup Level Matrix Multiply-Accumulate Instructions".

#if defined(CELLSEG_EMULATED) || defined(__CUDA_ARCH_FEAT_SM90_ALL)

/// A tensor in global memory as the copy engine sees it, made by the host: extents, strides, the box of one copy.
struct alignas(64) TensorMap {
    u64 words[16];
};

/// A barrier in shared memory. A phase ends when all the arrivals it was made for, and all bytes that were announced, have
/// come; the next begins at once. Phases are even and odd in turn, from 0.
typedef u64 Barrier;

#ifdef CELLSEG_EMULATED
struct EmulatedBarrier {
    u16 arrivals, missing;
    i32 bytes : 31;
    u32 phase : 1;

    static EmulatedBarrier* of(Barrier* barrier) {
        cellseg_emulated::check_shared("mbarrier", barrier, 8);
        return reinterpret_cast<EmulatedBarrier*>(barrier);
    }
    void advance() {
        if (missing || bytes) return;
        missing = arrivals;
        phase ^= 1;
    }
};
static_assert(sizeof(EmulatedBarrier) == 8, "as large as a barrier");
#endif

/// Makes a barrier for this many arrivals a phase. One thread does it; others may use the barrier after
/// `barriers_made` of this thread and a `__syncthreads`.
DEVICE inline void make_barrier(Barrier* barrier, u32 arrivals) {
#ifdef CELLSEG_EMULATED
    *EmulatedBarrier::of(barrier) = {u16(arrivals), u16(arrivals), 0, 0};
#else
    asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;" ::"r"(shared_address(barrier)), "r"(arrivals) : "memory");
#endif
}

/// Shows barriers that were just made to the copy engine.
DEVICE inline void barriers_made() {
#ifndef CELLSEG_EMULATED
    asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
#endif
}

/// One arrival.
DEVICE inline void arrive(Barrier* barrier) {
#ifdef CELLSEG_EMULATED
    EmulatedBarrier* b = EmulatedBarrier::of(barrier);
    if (!b->missing) cellseg_emulated::fault("more arrivals at a barrier than it was made for");
    b->missing--;
    b->advance();
#else
    asm volatile("mbarrier.arrive.shared::cta.b64 _, [%0];" ::"r"(shared_address(barrier)) : "memory");
#endif
}

/// One arrival that announces copies of this many bytes in all, before they are started.
DEVICE inline void arrive_expecting(Barrier* barrier, u32 bytes) {
#ifdef CELLSEG_EMULATED
    EmulatedBarrier* b = EmulatedBarrier::of(barrier);
    if (!b->missing) cellseg_emulated::fault("more arrivals at a barrier than it was made for");
    b->bytes += i32(bytes);
    b->missing--;
    b->advance();
#else
    asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(shared_address(barrier)), "r"(bytes)
                 : "memory");
#endif
}

/// Waits for the end of the current phase if its parity is `parity`; returns at once if it is the other.
DEVICE inline void wait(Barrier* barrier, u32 parity) {
#ifdef CELLSEG_EMULATED
    EmulatedBarrier* b = EmulatedBarrier::of(barrier);
    cellseg_emulated::wait_until({"mbarrier.try_wait", __FILE__, __LINE__}, [=] { return b->phase != parity; });
#else
    asm volatile(
        "{\n"
        ".reg .pred done;\n"
        "again:\n"
        "mbarrier.try_wait.parity.shared::cta.b64 done, [%0], %1;\n"
        "@!done bra again;\n"
        "}" ::"r"(shared_address(barrier)),
        "r"(parity)
        : "memory");
#endif
}

#ifdef CELLSEG_EMULATED
/// What a copy of a box means, for a map that the stand-in driver wrote: the first axis of a box is at most 128 bytes, a
/// row; the 16-byte pieces of row r lie exchanged by r % 8; what lies outside the tensor is zero.
template <i32 RANK>
DEVICE inline void copy_box_emulated(void* shared, const TensorMap* map, Barrier* barrier, const i32 (&at)[RANK]) {
    const u64* w = map->words;
    if (w[0] != 0xE3A7ED || w[2] != RANK) cellseg_emulated::fault("a copy by no tensor map of this rank");
    u64 extent[5] = {1, 1, 1, 1, 1}, stride[5] = {w[3], 0, 0, 0, 0};
    i32 box[5] = {1, 1, 1, 1, 1}, first[5] = {};
    u64 rows = 1;
    for (i32 a = 0; a < RANK; a++) {
        extent[a] = w[5 + a];
        if (a) stride[a] = w[9 + a];
        box[a] = i32((a < 4 ? w[14] >> 16 * a : w[15]) & 0xffff);
        first[a] = at[a];
        if (a) rows *= u64(box[a]);
    }
    const u64 row_bytes = u64(box[0]) * w[3];
    const bool swizzled = w[4] == 3;
    if (swizzled && row_bytes != 128) cellseg_emulated::fault("an exchanged row is of 128 bytes");
    u8* to = static_cast<u8*>(shared);
    if ((to - cellseg_emulated::dynamic_shared()) % (swizzled ? 1024 : 128)) cellseg_emulated::fault("a box that is not aligned");
    for (u64 row = 0; row < rows; row++) {
        i64 place[5] = {};
        u64 rest = row;
        bool inside = true;
        const u8* from = reinterpret_cast<const u8*>(w[1]);
        for (i32 a = 1; a < RANK; a++) {
            place[a] = first[a] + i64(rest % u64(box[a]));
            rest /= u64(box[a]);
            inside &= place[a] >= 0 && u64(place[a]) < extent[a];
            from += place[a] * i64(stride[a]);
        }
        for (u64 byte = 0; byte < row_bytes; byte++) {
            const i64 x = first[0] + i64(byte / w[3]);
            const bool there = inside && x >= 0 && u64(x) < extent[0];
            const u64 offset = row * row_bytes + byte;
            to[swizzled ? offset ^ (row % 8) << 4 : offset] = there ? from[u64(x) * w[3] + byte % w[3]] : 0;
        }
    }
    EmulatedBarrier* b = EmulatedBarrier::of(barrier);
    b->bytes -= i32(rows * row_bytes);
    b->advance();
}
#endif

/// Starts the copy of the box whose first element is `at`, innermost axis first, to shared memory aligned to 1024 bytes. Its
/// bytes arrive at `barrier`. One thread calls this.
DEVICE inline void copy_box(void* shared, const TensorMap* map, Barrier* barrier, const i32 (&at)[3]) {
#ifdef CELLSEG_EMULATED
    copy_box_emulated(shared, map, barrier, at);
#else
    asm volatile("cp.async.bulk.tensor.3d.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1, {%3, %4, %5}], [%2];"
                 ::"r"(shared_address(shared)), "l"(map), "r"(shared_address(barrier)), "r"(at[0]), "r"(at[1]), "r"(at[2])
                 : "memory");
#endif
}
DEVICE inline void copy_box(void* shared, const TensorMap* map, Barrier* barrier, const i32 (&at)[5]) {
#ifdef CELLSEG_EMULATED
    copy_box_emulated(shared, map, barrier, at);
#else
    asm volatile("cp.async.bulk.tensor.5d.shared::cluster.global.mbarrier::complete_tx::bytes [%0], "
                 "[%1, {%3, %4, %5, %6, %7}], [%2];"
                 ::"r"(shared_address(shared)), "l"(map), "r"(shared_address(barrier)), "r"(at[0]), "r"(at[1]), "r"(at[2]),
                 "r"(at[3]), "r"(at[4])
                 : "memory");
#endif
}

/// Names a matrix of 16-bit values in shared memory for wgmma: rows of 64 values (128 bytes), eight rows to 1024 bytes,
/// 16-byte pieces exchanged within each eight rows as `copy_box` leaves them. `column`, a multiple of 16, is where the
/// operand begins in each row.
DEVICE inline u64 matrix_of_rows(const void* shared, i32 column) {
#ifdef CELLSEG_EMULATED
    const u64 address = u64(static_cast<const u8*>(shared) - cellseg_emulated::dynamic_shared());
#else
    const u64 address = shared_address(shared);
#endif
    const u64 start = (address + u64(column) * 2) >> 4 & 0x3fff;
    // The stride from one eight rows to the next, in 16 bytes; the exchange over 128 bytes. The other stride is not used.
    return start | u64(1) << 16 | u64(1024 >> 4) << 32 | u64(1) << 62;
}

/// Gives registers of this group of four warps back, or asks for more: of the block's, `COUNT` a thread from now on.
template <i32 COUNT> DEVICE inline void registers_down() {
#ifndef CELLSEG_EMULATED
    asm volatile("setmaxnreg.dec.sync.aligned.u32 %0;" ::"n"(COUNT));
#endif
}
template <i32 COUNT> DEVICE inline void registers_up() {
#ifndef CELLSEG_EMULATED
    asm volatile("setmaxnreg.inc.sync.aligned.u32 %0;" ::"n"(COUNT));
#endif
}

/// Orders the products of this group of four warps after what its threads did to the registers of operands and sums.
DEVICE inline void wgmma_begin() {
#ifndef CELLSEG_EMULATED
    asm volatile("wgmma.fence.sync.aligned;" ::: "memory");
#endif
}

/// Ends the group of the products that were started since the last call.
DEVICE inline void wgmma_commit() {
#ifndef CELLSEG_EMULATED
    asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory");
#endif
}

/// Waits until at most the latest `N` groups are unfinished. Until then sums may not be read, nor operands written.
template <i32 N> DEVICE inline void wgmma_wait() {
#ifndef CELLSEG_EMULATED
    asm volatile("wgmma.wait_group.sync.aligned %0;" ::"n"(N) : "memory");
#endif
}

#ifdef CELLSEG_EMULATED
/// d (16 rows of this warp, N columns) += a (16x16, the fragment of m16n8k16) b (16 x N, column n being row n of the matrix
/// that the descriptor names). Executed at once: a missing wait is not found.
template <i32 N, typename T>
DEVICE inline void wgmma_emulated(f32 (&d)[N / 2], const u32 (&a)[4], u64 matrix, T) {
    struct Slot {
        const u32* a;
        f32* d;
        u64 matrix;
    };
    Slot mine{a, d, matrix};
    cellseg_emulated::whole_warp("wgmma", mine, [](Slot* (&lanes)[32]) {
        f32 left[16][16], right[16][N];
        for (i32 l = 0; l < 32; l++) {
            if (lanes[l]->matrix != lanes[0]->matrix) cellseg_emulated::fault("lanes name different matrices");
            for (i32 e = 0; e < 4; e++)
                for (i32 half = 0; half < 2; half++)
                    left[l / 4 + e % 2 * 8][2 * (l % 4) + half + e / 2 * 8] = wide(T{u16(lanes[l]->a[e] >> 16 * half)});
        }
        const u64 start = (lanes[0]->matrix & 0x3fff) << 4, stride = (lanes[0]->matrix >> 32 & 0x3fff) << 4;
        for (i32 n = 0; n < N; n++)
            for (i32 k = 0; k < 16; k++) {
                const u64 plain = start + u64(n / 8) * stride + u64(n % 8) * 128 + u64(k) * 2;
                const u64 at = plain ^ (plain >> 7 & 7) << 4;
                u16 bits;
                memcpy(&bits, cellseg_emulated::dynamic_shared() + at, 2);
                right[k][n] = wide(T{bits});
            }
        for (i32 l = 0; l < 32; l++)
            for (i32 e = 0; e < N / 2; e++) {
                const i32 row = l / 4 + e % 4 / 2 * 8, column = e / 4 * 8 + 2 * (l % 4) + e % 2;
                f32 sum = lanes[l]->d[e];
                for (i32 k = 0; k < 16; k++) sum += left[row][k] * right[k][column];
                lanes[l]->d[e] = sum;
            }
    });
}
#endif

#define WGMMA_FOUR(d, i) "+f"(d[i]), "+f"(d[i + 1]), "+f"(d[i + 2]), "+f"(d[i + 3])
#define WGMMA_SIXTEEN(d, i) WGMMA_FOUR(d, i), WGMMA_FOUR(d, i + 4), WGMMA_FOUR(d, i + 8), WGMMA_FOUR(d, i + 12)
#define WGMMA_64(type)                                                                                                 \
    asm volatile("wgmma.mma_async.sync.aligned.m64n64k16.f32." type "." type                                           \
                 " {%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, %16, %17, %18, %19, %20, "   \
                 "%21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31}, {%32, %33, %34, %35}, %36, 1, 1, 1, 0;"      \
                 : WGMMA_SIXTEEN(d, 0), WGMMA_SIXTEEN(d, 16)                                                           \
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(matrix))
#define WGMMA_128(type)                                                                                                \
    asm volatile("wgmma.mma_async.sync.aligned.m64n128k16.f32." type "." type                                          \
                 " {%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, %16, %17, %18, %19, %20, "   \
                 "%21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31, %32, %33, %34, %35, %36, %37, %38, %39, %40, " \
                 "%41, %42, %43, %44, %45, %46, %47, %48, %49, %50, %51, %52, %53, %54, %55, %56, %57, %58, %59, %60, " \
                 "%61, %62, %63}, {%64, %65, %66, %67}, %68, 1, 1, 1, 0;"                                              \
                 : WGMMA_SIXTEEN(d, 0), WGMMA_SIXTEEN(d, 16), WGMMA_SIXTEEN(d, 32), WGMMA_SIXTEEN(d, 48)               \
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(matrix))

template <typename T> constexpr bool IS_F16 = false;
template <> constexpr bool IS_F16<f16> = true;

/// Starts d (64 x N) += a (64x16) b (16 x N) by four warps: `a` is the fragment of m16n8k16 for the 16 rows of each warp,
/// `d[4 j ..]` that for columns 8 j to 8 j + 7, and column n of b is row n of the matrix in shared memory.
template <i32 N, typename T> DEVICE inline void wgmma(f32 (&d)[N / 2], const u32 (&a)[4], u64 matrix, T type) {
    static_assert(N == 64 || N == 128, "the widths that kernels use");
#ifdef CELLSEG_EMULATED
    wgmma_emulated<N>(d, a, matrix, type);
#else
    constexpr bool HALF = IS_F16<T>;
    if constexpr (N == 64 && HALF) WGMMA_64("f16");
    if constexpr (N == 64 && !HALF) WGMMA_64("bf16");
    if constexpr (N == 128 && HALF) WGMMA_128("f16");
    if constexpr (N == 128 && !HALF) WGMMA_128("bf16");
#endif
}

#endif
