// sum += x, element by element, in f32 and rounded once. 256 threads, four numbers a thread and step, no shared memory.
// Moves two numbers in and one out: bound by memory.
// instances: REAL=f32,f16,bf16
// targets: sm_75 sm_80 sm_90a
// budget: accumulate registers=32 shared=0
KERNEL BOUNDS(256, 4) accumulate(REAL* sum, const REAL* x, i64 count) {
    const i64 step = (i64)gridDim.x * 1024;
    for (i64 i = ((i64)blockIdx.x * 256 + threadIdx.x) * 4; i < count; i += step) {
        if (i + 4 <= count) {
            Pack<REAL, 4> to = load<4>(sum + i);
            const Pack<REAL, 4> from = load<4>(x + i);
#pragma unroll
            for (i32 k = 0; k < 4; k++) to.v[k] = narrow<REAL>(wide(to.v[k]) + wide(from.v[k]));
            store(sum + i, to);
        } else {
            for (i64 k = i; k < count; k++) sum[k] = narrow<REAL>(wide(sum[k]) + wide(x[k]));
        }
    }
}
