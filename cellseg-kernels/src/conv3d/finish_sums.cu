// The end of sums whose depth was cut up: parts are added in their order, then bias and activation.
//
// 256 threads, four neighbouring channels each; every part is read once, in 16-byte loads. The memory bounds it: a quarter
// FLOP a byte; parts are few and small, and mostly still in L2.
//
// instances: REAL=f32,f16,bf16
// targets: sm_80 sm_90a
// budget: conv3d_finish_sums registers=40 shared=0

struct FinishSums {
    i64 count;  // sums, a multiple of 4, as are the channels
    i32 parts, channels;
    i32 activation;
    f32 setting;
};

KERNEL BOUNDS(256, 4) conv3d_finish_sums(REAL* out, const f32* parts, const REAL* bias, FinishSums p) {
    const i64 at = (i64(blockIdx.x) * 256 + threadIdx.x) * 4;
    if (at >= p.count) return;
    Pack<f32, 4> sums = load<4>(parts + at);
#pragma unroll 4
    for (i32 part = 1; part < p.parts; part++) {
        const Pack<f32, 4> more = load<4>(parts + part * p.count + at);
#pragma unroll
        for (i32 i = 0; i < 4; i++) sums.v[i] += more.v[i];
    }
    Pack<REAL, 4> shift = {}, result;
    if (bias != nullptr) shift = load<4>(bias + at % p.channels);
#pragma unroll
    for (i32 i = 0; i < 4; i++) sums.v[i] += wide(shift.v[i]);
    activate(p.activation, sums.v, p.setting);
#pragma unroll
    for (i32 i = 0; i < 4; i++) result.v[i] = narrow<REAL>(sums.v[i]);
    store(out + at, result);
}
