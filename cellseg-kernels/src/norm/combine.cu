// What is found between the passes over memory of a normalisation of groups: statistics from the moments of chunks, the
// factors of the second backward pass, and the gradients of the scale and the shift. A few numbers for each chunk or
// channel: what these kernels cost is their launch.
//
// instances: REAL=f32,f16,bf16
// targets: sm_75 sm_80 sm_90a
// budget: statistics registers=36 shared=3072
// budget: factors registers=74 shared=0
// budget: affine registers=80 shared=0

struct Chunks {
    i64 rows;
    i32 chunk, chunks;
    i32 channels, groups, units;
    f32 eps;
};

struct Moments {
    f32 count, mean, squares;
};

// As in group.cu.
DEVICE inline void join(Moments& a, const Moments& b) {
    if (b.count == 0.f) return;
    f32 count = a.count + b.count, share = b.count / count, distance = b.mean - a.mean;
    a.mean += distance * share;
    a.squares += b.squares + distance * distance * (a.count * share);
    a.count = count;
}

// Means and reciprocal standard deviations, `[n, 2, groups]`, from the parts `[n, chunks, 2, units]` that `moments` found;
// a block takes a group of a sample.
KERNEL BOUNDS(256, 1) statistics(f32* out, const f32* parts, Chunks c) {
    __shared__ Moments shared[256];
    i32 sample = blockIdx.x / c.groups, group = blockIdx.x % c.groups;
    i32 width = c.units / c.groups, channels = c.channels / c.units;
    Moments all = {0.f, 0.f, 0.f};
#pragma unroll 4
    for (i32 i = threadIdx.x; i < c.chunks * width; i += 256) {
        i32 chunk = i / width, unit = group * width + i % width;
        const f32* part = parts + ((i64)sample * c.chunks + chunk) * 2 * c.units + unit;
        i64 rows = min((i64)c.chunk, c.rows - (i64)chunk * c.chunk);
        join(all, Moments{(f32)(rows * channels), part[0], part[c.units]});
    }
    shared[threadIdx.x] = all;
    __syncthreads();
    for (i32 half = 128; half > 0; half /= 2) {
        if ((i32)threadIdx.x < half) {
            join(all, shared[threadIdx.x + half]);
            shared[threadIdx.x] = all;
        }
        __syncthreads();
    }
    if (threadIdx.x == 0) {
        f32* statistics = out + (i64)sample * 2 * c.groups + group;
        statistics[0] = all.mean;
        statistics[c.groups] = 1.f / sqrtf((all.count > 0.f ? all.squares / all.count : 0.f) + c.eps);
    }
}

// From the sums of `gradient_sums` over each sample, `[n, 2, channels]`, the factors `b` and `s` of its second pass,
// `[n, 2, groups]`; a warp takes a group of a sample.
KERNEL BOUNDS(256, 1) factors(f32* out, const f32* sums, const REAL* gamma, const f32* statistics, i32 samples,
                              Chunks c) {
    i32 item = (blockIdx.x * blockDim.x + threadIdx.x) / 32, lane = threadIdx.x % 32;
    if (item >= samples * c.groups) return;
    i32 sample = item / c.groups, group = item % c.groups, width = c.channels / c.groups;
    const f32* plain = sums + (i64)sample * 2 * c.channels + group * width;
    f32 of_plain = 0.f, of_product = 0.f;
    for (i32 i = lane; i < width; i += 32) {
        f32 scale = wide(gamma[group * width + i]);
        of_plain += scale * plain[i];
        of_product += scale * plain[c.channels + i];
    }
    of_plain = warp_sum(of_plain);
    of_product = warp_sum(of_product);
    if (lane == 0) {
        f32 factor = statistics[((i64)sample * 2 + 1) * c.groups + group], count = (f32)(c.rows * width);
        f32* found = out + (i64)sample * 2 * c.groups + group;
        found[0] = -factor * factor * factor * (of_product / count);
        found[c.groups] = -factor * (of_plain / count);
    }
}

// The gradients of the scale and the shift from the same sums; a thread takes a channel.
KERNEL BOUNDS(256, 1) affine(REAL* of_gamma, REAL* of_beta, const f32* sums, const f32* statistics, i32 samples,
                             Chunks c) {
    i32 channel = blockIdx.x * blockDim.x + threadIdx.x;
    if (channel >= c.channels) return;
    i32 group = channel / (c.channels / c.groups);
    f32 scale = 0.f, shift = 0.f;
    for (i32 n = 0; n < samples; n++) {
        const f32* plain = sums + (i64)n * 2 * c.channels + channel;
        shift += plain[0];
        scale += plain[c.channels] * statistics[((i64)n * 2 + 1) * c.groups + group];
    }
    of_gamma[channel] = narrow<REAL>(scale);
    of_beta[channel] = narrow<REAL>(shift);
}
