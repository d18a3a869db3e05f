// Optimisers' steps, the sum of squares of gradients, and limits on them, for up to 64 tensors of f32 at once.
//
// Where the tensors lie and how long they are is passed by value. A block of 256 threads takes a part of 4,096 neighbouring
// numbers of one tensor, in packs of 16 bytes. No shared memory but for sums. All in place. For each parameter Adam moves
// seven numbers, 28 bytes, for 12 operations, descent five with momentum and three without: the minimum, memory is the
// bottleneck. Numbers that do not depend on the place are computed on the host in f64.
//
// targets: sm_75 sm_80 sm_90a
// budget: adam registers=53 shared=0
// budget: sgd registers=40 shared=0
// budget: squares registers=22 shared=32
// budget: scale registers=24 shared=0
// budget: clamp registers=20 shared=0

constexpr int TENSORS = 64, PART = 4096;

struct Arrays {
    f32* at[TENSORS];
};

struct Parts {
    i64 counts[TENSORS];
    // The first block of each tensor.
    i32 first[TENSORS];
    i32 tensors;
};

// The numbers of this block.
struct Span {
    i32 tensor;
    i64 start, end;
};

DEVICE inline Span span(const Parts& parts) {
    i32 low = 0, high = parts.tensors;
    while (low + 1 < high) {
        i32 middle = (low + high) / 2;
        if (parts.first[middle] <= (i32)blockIdx.x) low = middle;
        else high = middle;
    }
    i64 start = (i64)((i32)blockIdx.x - parts.first[low]) * PART;
    return {low, start, min(start + PART, parts.counts[low])};
}

// Calls f with the start of each of this thread's packs.
template <typename F> DEVICE inline void each(const Span& s, F f) {
    for (i64 at = s.start + threadIdx.x * 4; at < s.end; at += 256 * 4) f(at);
}

// The numbers that are the same for all tensors of a step; see adam.rs.
struct Adam {
    f32 coupled_decay, kept, first_new, second_kept, second_new, eps;
};

// Those that depend on how many steps a tensor has had.
struct Progress {
    f32 second_scale[TENSORS], rate[TENSORS];
};

KERNEL BOUNDS(256, 4) adam(Arrays parameters, Arrays firsts, Arrays seconds, Arrays gradients, Parts parts,
                           Progress progress, Adam a) {
    Span s = span(parts);
    f32 *parameter = parameters.at[s.tensor], *first = firsts.at[s.tensor], *second = seconds.at[s.tensor];
    const f32* gradient = gradients.at[s.tensor];
    f32 second_scale = progress.second_scale[s.tensor], rate = progress.rate[s.tensor];
    each(s, [&](i64 at) {
        Wide<f32> p = load_wide(parameter, at, s.end), m = load_wide(first, at, s.end);
        Wide<f32> v = load_wide(second, at, s.end), g = load_wide(gradient, at, s.end);
#pragma unroll
        for (int i = 0; i < 4; i++) {
            f32 x = g[i] + a.coupled_decay * p[i];
            m[i] += a.first_new * (x - m[i]);
            v[i] = a.second_kept * v[i] + a.second_new * x * x;
            p[i] = p[i] * a.kept - rate * m[i] / (sqrtf(v[i]) / second_scale + a.eps);
        }
        store_narrow(first, at, s.end, m);
        store_narrow(second, at, s.end, v);
        store_narrow(parameter, at, s.end, p);
    });
}

// See sgd.rs.
struct Sgd {
    f32 rate, decay, momentum, of_gradient, of_velocity;
};

// How much of the gradient enters the velocity of each tensor.
struct Entering {
    f32 share[TENSORS];
};

// Without momentum there are no velocities.
KERNEL BOUNDS(256, 4) sgd(Arrays parameters, Arrays velocities, Arrays gradients, Parts parts, Entering entering, Sgd r) {
    Span s = span(parts);
    f32 *parameter = parameters.at[s.tensor], *velocity = velocities.at[s.tensor];
    const f32* gradient = gradients.at[s.tensor];
    f32 share = entering.share[s.tensor];
    each(s, [&](i64 at) {
        Wide<f32> p = load_wide(parameter, at, s.end), g = load_wide(gradient, at, s.end), v = {};
        if (velocity) v = load_wide(velocity, at, s.end);
#pragma unroll
        for (int i = 0; i < 4; i++) {
            f32 x = g[i] + r.decay * p[i];
            v[i] = r.momentum * v[i] + share * x;
            p[i] -= r.rate * (velocity ? r.of_gradient * x + r.of_velocity * v[i] : x);
        }
        if (velocity) store_narrow(velocity, at, s.end, v);
        store_narrow(parameter, at, s.end, p);
    });
}

// The sums of the squares of each block's numbers, from place `first` of `sums` on.
KERNEL BOUNDS(256, 4) squares(f32* sums, i64 first, Arrays arrays, Parts parts) {
    Span s = span(parts);
    const f32* x = arrays.at[s.tensor];
    f32 sum = 0.f;
    each(s, [&](i64 at) {
        Wide<f32> v = load_wide(x, at, s.end);
        sum += (v[0] * v[0] + v[1] * v[1]) + (v[2] * v[2] + v[3] * v[3]);
    });
    sum = block_sum<256>(sum);
    if (threadIdx.x == 0) sums[first + blockIdx.x] = sum;
}

KERNEL BOUNDS(256, 4) scale(Arrays arrays, Parts parts, f32 factor) {
    Span s = span(parts);
    f32* x = arrays.at[s.tensor];
    each(s, [&](i64 at) {
        Wide<f32> v = load_wide(x, at, s.end);
#pragma unroll
        for (int i = 0; i < 4; i++) v[i] *= factor;
        store_narrow(x, at, s.end, v);
    });
}

// What is not a number stays so.
KERNEL BOUNDS(256, 4) clamp(Arrays arrays, Parts parts, f32 limit) {
    Span s = span(parts);
    f32* x = arrays.at[s.tensor];
    each(s, [&](i64 at) {
        Wide<f32> v = load_wide(x, at, s.end);
#pragma unroll
        for (int i = 0; i < 4; i++) {
            f32 below = v[i] > limit ? limit : v[i];
            v[i] = below < -limit ? -limit : below;
        }
        store_narrow(x, at, s.end, v);
    });
}
