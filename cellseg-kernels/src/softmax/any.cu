// Softmax over rows of any number of channels, or its logarithm, and the gradient of either from the output.
//
// `lanes` threads of a warp share a row and read it number by number, so that neighbouring threads read neighbouring
// numbers, and again from a cache for each further pass. No shared memory. Memory moves the minimum of one read and one
// write forward, two reads and one write backward; two exponentials take about 20 operations a number. Both work in
// place.
//
// instances: REAL=f32,f16,bf16 LOG=0,1
// targets: sm_75 sm_80 sm_90a
// budget: forward registers=30 shared=0
// budget: backward registers=27 shared=0

// As `max`, but what is not a number is passed over, as on the CPU.
DEVICE inline f32 greater(f32 most, f32 x) { return x > most ? x : most; }

// Every thread of a warp goes through the loops over rows as often as the others, since they exchange numbers.
KERNEL BOUNDS(256, 4) forward(REAL* out, const REAL* x, i64 rows, i32 channels, i32 lanes) {
    i32 lane = threadIdx.x & (lanes - 1), of_block = blockDim.x / lanes;
    for (i64 first = (i64)blockIdx.x * of_block; first < rows; first += (i64)gridDim.x * of_block) {
        i64 row = first + threadIdx.x / lanes;
        i32 width = row < rows ? channels : 0;
        const REAL* from = x + row * channels;
        REAL* to = out + row * channels;
        f32 most = -infinity();
        for (i32 i = lane; i < width; i += lanes) most = greater(most, wide(from[i]));
        for (i32 i = lanes / 2; i > 0; i /= 2) most = greater(most, __shfl_xor_sync(0xffffffffu, most, i));
        f32 sum = 0.f;
        for (i32 i = lane; i < width; i += lanes) sum += expf(wide(from[i]) - most);
        sum = lanes_sum(sum, lanes);
        sum = LOG ? logf(sum) : 1.f / sum;
        for (i32 i = lane; i < width; i += lanes) {
            f32 shifted = wide(from[i]) - most;
            to[i] = narrow<REAL>(LOG ? shifted - sum : expf(shifted) * sum);
        }
    }
}

KERNEL BOUNDS(256, 4) backward(REAL* out, const REAL* grad, const REAL* y, i64 rows, i32 channels, i32 lanes) {
    i32 lane = threadIdx.x & (lanes - 1), of_block = blockDim.x / lanes;
    for (i64 first = (i64)blockIdx.x * of_block; first < rows; first += (i64)gridDim.x * of_block) {
        i64 row = first + threadIdx.x / lanes, start = row * channels;
        i32 width = row < rows ? channels : 0;
        f32 sum = 0.f;
        for (i32 i = lane; i < width; i += lanes) {
            f32 g = wide(grad[start + i]);
            sum += LOG ? g : g * wide(y[start + i]);
        }
        sum = lanes_sum(sum, lanes);
        for (i32 i = lane; i < width; i += lanes) {
            f32 g = wide(grad[start + i]), v = wide(y[start + i]);
            out[start + i] = narrow<REAL>(LOG ? g - expf(v) * sum : v * (g - sum));
        }
    }
}
