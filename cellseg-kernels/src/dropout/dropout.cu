// Dropout: each number times zero or times `scale`, as its random word says.
//
// Number i is decided by word i % 4 of philox(key, i / 4), as on the CPU. A thread takes a pack of 16 bytes at a time; a
// grid strides over the array. No shared memory. One read and one write, the minimum; the random words take about 20
// integer operations a number, so on two-byte numbers the integer units are as busy as memory. Works in place.
//
// instances: REAL=f32,f16,bf16
// targets: sm_75 sm_80 sm_90a
// budget: dropout registers=44 shared=0

KERNEL BOUNDS(256, 4) dropout(REAL* out, const REAL* x, i64 count, u64 key, u32 threshold, f32 scale) {
    for (i64 at = first_pack<REAL>(); at < count; at += pack_stride<REAL>()) {
        Wide<REAL> v = load_wide(x, at, count);
#pragma unroll
        for (int i = 0; i < PACK<REAL>; i += 4) {
            Words words = philox(key, (u64)(at + i) / 4);
#pragma unroll
            for (int j = 0; j < 4; j++) v[i + j] *= words.w[j] < threshold ? 0.f : scale;
        }
        store_narrow(out, at, count, v);
    }
}
