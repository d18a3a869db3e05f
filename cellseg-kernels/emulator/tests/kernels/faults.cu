// Kernels with planted faults, one each: the emulated device must find all of them. Blocks of 64 threads.
// budget: left_neighbour registers=32 shared=256
// budget: uninitialised_shared registers=32 shared=256

/// Each thread reads what the one before it wrote, and no barrier lies between.
KERNEL left_neighbour(f32* out) {
    __shared__ f32 values[64];
    const i32 i = threadIdx.x;
    values[i] = f32(i);
    out[i] = values[(i + 63) % 64];
}

/// The same with the thread after it.
KERNEL right_neighbour(f32* out) {
    __shared__ f32 values[64];
    const i32 i = threadIdx.x;
    values[i] = f32(i);
    out[i] = values[(i + 1) % 64];
}

/// The same with its barrier: right in every order.
KERNEL neighbour_behind_barrier(f32* out) {
    __shared__ f32 values[64];
    const i32 i = threadIdx.x;
    values[i] = f32(i);
    __syncthreads();
    out[i] = values[(i + 63) % 64];
}

/// A second use of shared memory, without a barrier after the first: the fast overwrite what the slow have not read.
KERNEL reused_too_early(f32* out) {
    __shared__ f32 values[64];
    const i32 i = threadIdx.x;
    values[i] = f32(i);
    __syncthreads();
    const f32 first = values[(i + 63) % 64];
    const f32 third = values[(i + 1) % 64];
    values[i] = -1.0f;
    out[i] = first + third;
}

/// A sum of all blocks' values by each block: a block reads what another may not have written.
KERNEL other_block(f32* out) {
    if (threadIdx.x == 0) out[blockIdx.x] = f32(blockIdx.x);
    __syncthreads();
    if (threadIdx.x == 0) out[gridDim.x + blockIdx.x] = out[(blockIdx.x + 1) % gridDim.x];
}

/// Half of the block waits at a barrier, the other half for one lane that is among them.
KERNEL unreached_barrier(f32* out) {
    f32 x = 1.0f;
    if (threadIdx.x < 16) __syncthreads();
    else x = __shfl_xor_sync(0xffffffffu, x, 1);
    out[threadIdx.x] = x;
}

KERNEL two_barriers(f32* out) {
    if (threadIdx.x < 32) __syncthreads();
    else __syncthreads();
    out[threadIdx.x] = 1.0f;
}

/// A shuffle by one half of a warp, a vote by the other.
KERNEL different_exchanges(f32* out) {
    if (threadIdx.x % 2 == 0) out[threadIdx.x] = __shfl_sync(0xffffffffu, 1.0f, 0);
    else out[threadIdx.x] = f32(__ballot_sync(0xffffffffu, 1));
}

KERNEL lane_outside_its_mask(f32* out) { out[threadIdx.x] = __shfl_sync(0x0000ffffu, 1.0f, 0); }

/// A matrix instruction after half of the warp has left.
KERNEL half_warp_product(f32* out) {
    if (threadIdx.x % 32 >= 16) return;
    f32 d[4] = {};
    u32 a[4] = {}, b[2] = {};
    mma_16816(d, a, b, f16{});
    out[threadIdx.x] = d[0];
}

KERNEL uninitialised_shared(f32* out) {
    __shared__ f32 values[64];
    DYNAMIC_SHARED;
    if (threadIdx.x != 5) values[threadIdx.x] = 1.0f;
    if (threadIdx.x != 7) reinterpret_cast<f32*>(smem)[threadIdx.x] = 1.0f;
    __syncthreads();
    out[threadIdx.x] = values[threadIdx.x] + reinterpret_cast<f32*>(smem)[threadIdx.x];
}

/// Reads its copy before the wait.
KERNEL unwaited_copy(f32* out, const f32* in) {
    __shared__ alignas(16) f32 values[256];
    cp_async16(values + 4 * threadIdx.x, in + 4 * threadIdx.x, true);
    cp_async_commit();
    out[threadIdx.x] = values[4 * threadIdx.x];
    cp_async_wait<0>();
}

KERNEL misaligned_copy(f32* out, const f32* in) {
    __shared__ alignas(16) f32 values[256];
    cp_async16(values + threadIdx.x, in, true);
    cp_async_wait<0>();
    out[threadIdx.x] = values[threadIdx.x];
}

/// A source that is not aligned, and not read either.
KERNEL misaligned_source(f32* out, const f32* in) {
    __shared__ alignas(16) f32 values[256];
    cp_async16(values + 4 * threadIdx.x, in + 1, false);
    cp_async_wait<0>();
    out[threadIdx.x] = values[4 * threadIdx.x];
}

/// Rows of a matrix that are not in shared memory.
KERNEL global_matrix(f32* out, const f32* in) {
    u32 r[4];
    ldmatrix_x4(r, in + 4 * (threadIdx.x % 32));
    out[threadIdx.x] = f32(r[0]);
}

KERNEL beyond_buffer(f32* out, i64 at) { out[at] = 1.0f; }
KERNEL read_beyond_buffer(f32* out, const f32* in, i64 at) { out[0] = in[at]; }

KERNEL beyond_shared(f32* out) {
    DYNAMIC_SHARED;
    reinterpret_cast<f32*>(smem)[threadIdx.x] = 1.0f;
    out[threadIdx.x] = 1.0f;
}

KERNEL endless_recursion(f32* out, i32 depth) {
    struct Deep {
        static f32 down(i32 depth) {
            volatile f32 local[64];
            local[depth % 64] = f32(depth);
            return depth < 0 ? local[0] : down(depth + 1) + local[1];
        }
    };
    out[0] = Deep::down(depth);
}

KERNEL BOUNDS(32, 1) bounded(f32* out) { out[threadIdx.x] = 1.0f; }

#ifdef CELLSEG_EMULATED
/// Thread 0 waits for a number that the last thread writes, or that nobody does: what loops around `mbarrier.try_wait` are.
KERNEL waits_for_a_number(f32* out, i32 written) {
    __shared__ volatile i32 number;
    if (threadIdx.x == 0) number = 0;
    __syncthreads();
    if (threadIdx.x == 0) {
        cellseg_emulated::wait_until({"a number", __FILE__, __LINE__}, [&] { return number != 0; });
        out[0] = f32(number);
    } else if (threadIdx.x == 63 && written) {
        number = written;
    }
}
#endif
