// The normalisation of each row of any number of channels, and its gradients.
//
// `lanes` threads of a warp share a row and read it number by number, and again from a cache for each pass. Memory moves
// as in layer.cu, with smaller reads. The gradients of the scale and the shift go the same way as there.
//
// instances: REAL=f32,f16,bf16
// targets: sm_75 sm_80 sm_90a
// budget: forward registers=32 shared=0
// budget: backward registers=125 shared=2048

struct Rows {
    i64 rows;
    // Rows of a block.
    i64 part;
    i32 channels;
    // Threads of a row: 1 to 32, a power of two.
    i32 lanes;
    f32 eps;
};

DEVICE inline void statistics(const REAL* row, const Rows& r, i32 width, i32 lane, f32& mean, f32& factor) {
    f32 sum = 0.f, squares = 0.f;
    for (i32 i = lane; i < width; i += r.lanes) sum += wide(row[i]);
    mean = lanes_sum(sum, r.lanes) / (f32)r.channels;
    for (i32 i = lane; i < width; i += r.lanes) squares += (wide(row[i]) - mean) * (wide(row[i]) - mean);
    factor = 1.f / sqrtf(lanes_sum(squares, r.lanes) / (f32)r.channels + r.eps);
}

// Every thread of a warp goes through the loops over rows as often as the others, since they exchange numbers.
KERNEL BOUNDS(256, 4) forward(REAL* out, const REAL* x, const REAL* gamma, const REAL* beta, Rows r) {
    i32 lane = threadIdx.x & (r.lanes - 1), of_block = 256 / r.lanes;
    for (i64 first = (i64)blockIdx.x * of_block; first < r.rows; first += (i64)gridDim.x * of_block) {
        i64 row = first + threadIdx.x / r.lanes, start = row * r.channels;
        i32 width = row < r.rows ? r.channels : 0;
        f32 mean, factor;
        statistics(x + start, r, width, lane, mean, factor);
        for (i32 i = lane; i < width; i += r.lanes)
            out[start + i] = narrow<REAL>((wide(x[start + i]) - mean) * factor * wide(gamma[i]) + wide(beta[i]));
    }
}

// The gradients of the scale and the shift are found a channel a thread, with the statistics of the block's rows at hand.
KERNEL BOUNDS(256, 2) backward(REAL* out, f32* parts, const REAL* grad, const REAL* x, const REAL* gamma, Rows r) {
    __shared__ f32 means[256], factors[256];
    i32 lane = threadIdx.x & (r.lanes - 1), of_block = 256 / r.lanes;
    i64 start = blockIdx.x * r.part, end = min(start + r.part, r.rows);
    f32 *scales = parts + (i64)blockIdx.x * r.channels, *shifts = scales + (i64)gridDim.x * r.channels;
    for (i64 first = start; first < end; first += of_block) {
        i64 row = first + threadIdx.x / r.lanes, at = row * r.channels;
        i32 width = row < end ? r.channels : 0;
        f32 mean, factor, plain = 0.f, product = 0.f;
        statistics(x + at, r, width, lane, mean, factor);
        means[threadIdx.x / r.lanes] = mean;
        factors[threadIdx.x / r.lanes] = factor;
        __syncthreads();
        for (i32 channel = threadIdx.x; channel < r.channels; channel += 256) {
            f32 of_scale = first == start ? 0.f : scales[channel], of_shift = first == start ? 0.f : shifts[channel];
            for (i32 i = 0; i < min((i64)of_block, end - first); i++) {
                f32 g = wide(grad[(first + i) * r.channels + channel]);
                of_scale += g * ((wide(x[(first + i) * r.channels + channel]) - means[i]) * factors[i]);
                of_shift += g;
            }
            scales[channel] = of_scale;
            shifts[channel] = of_shift;
        }
        // Before `grad` is overwritten by `out` in its place.
        __syncthreads();
        for (i32 i = lane; i < width; i += r.lanes) {
            f32 h = wide(grad[at + i]) * wide(gamma[i]);
            plain += h;
            product += h * ((wide(x[at + i]) - mean) * factor);
        }
        plain = lanes_sum(plain, r.lanes) / (f32)r.channels;
        product = lanes_sum(product, r.lanes) / (f32)r.channels;
        for (i32 i = lane; i < width; i += r.lanes) {
            f32 h = wide(grad[at + i]) * wide(gamma[i]);
            out[at + i] = narrow<REAL>((h - plain - (wide(x[at + i]) - mean) * factor * product) * factor);
        }
    }
}
