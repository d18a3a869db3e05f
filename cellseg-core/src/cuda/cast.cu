// Numbers rounded to another type, to nearest, ties to even. 256 threads, four numbers a thread and step, no shared
// memory. Moves each number once in and once out: bound by memory.
// instances: FROM=f32 TO=f16,bf16
// instances: FROM=f16 TO=f32,bf16
// instances: FROM=bf16 TO=f32,f16
// targets: sm_75 sm_80 sm_90a
// budget: cast registers=32 shared=0
KERNEL BOUNDS(256, 4) cast(TO* y, const FROM* x, i64 count) {
    const i64 step = (i64)gridDim.x * 1024;
    for (i64 i = ((i64)blockIdx.x * 256 + threadIdx.x) * 4; i < count; i += step) {
        if (i + 4 <= count) {
            const Pack<FROM, 4> from = load<4>(x + i);
            Pack<TO, 4> to;
#pragma unroll
            for (i32 k = 0; k < 4; k++) to.v[k] = narrow<TO>(wide(from.v[k]));
            store(y + i, to);
        } else {
            for (i64 k = i; k < count; k++) y[k] = narrow<TO>(wide(x[k]));
        }
    }
}
