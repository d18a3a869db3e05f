// Max pooling over windows that touch, and its gradient; ties and what is not a number as on the CPU.
//
// A thread takes a pack of 16 bytes of the channels of one voxel, or one number where packs do not fill a row; a grid
// strides over the output. No shared memory. `pool` reads each voxel once and writes one number, and a byte for its
// place, for each window; `gradient` writes each number once and reads a number and a byte for each, of which all but the
// first in a window come from a cache. One comparison a number: memory is the bottleneck.
//
// instances: REAL=f32,f16,bf16
// targets: sm_75 sm_80 sm_90a
// budget: pool registers=48 shared=0
// budget: gradient registers=40 shared=0

struct Sizes {
    // Extents (z, y, x).
    i32 input[3], output[3], window[3];
    i32 channels, width;
    // Numbers of the output.
    i64 count;
};

struct Voxel {
    i64 n;
    i32 z, y, x, channel;
};

// Which voxel of volumes of these extents the number `at` belongs to.
DEVICE inline Voxel voxel(i64 at, const i32 (&extents)[3], i32 channels) {
    Voxel v;
    i64 rest = quotient(at, channels);
    v.channel = (i32)(at - rest * channels);
    i64 row = quotient(rest, extents[2]);
    v.x = (i32)(rest - row * extents[2]);
    i64 plane = quotient(row, extents[1]);
    v.y = (i32)(row - plane * extents[1]);
    v.n = quotient(plane, extents[0]);
    v.z = (i32)(plane - v.n * extents[0]);
    return v;
}

// Where the number of a voxel's channel lies in volumes of these extents.
DEVICE inline i64 offset(const Voxel& v, const i32 (&extents)[3], i32 channels) {
    return (((v.n * extents[0] + v.z) * extents[1] + v.y) * extents[2] + v.x) * channels + v.channel;
}

template <int N> DEVICE inline void maxima(REAL* out, u8* places, const REAL* x, const Sizes& s) {
    for (i64 at = ((i64)blockIdx.x * 256 + threadIdx.x) * N; at < s.count; at += (i64)gridDim.x * 256 * N) {
        Voxel v = voxel(at, s.output, s.channels);
        v.z *= s.window[0];
        v.y *= s.window[1];
        v.x *= s.window[2];
        const REAL* first = x + offset(v, s.input, s.channels);
        Wide<REAL, N> most = widened<N>(first);
        u8 place[N] = {};
        i32 here = 0;
        for (i32 z = 0; z < s.window[0]; z++)
            for (i32 y = 0; y < s.window[1]; y++) {
                const REAL* row = first + ((i64)z * s.input[1] + y) * s.input[2] * s.channels;
#pragma unroll 2
                for (i32 w = 0; w < s.window[2]; w++, here++) {
                    Wide<REAL, N> next = widened<N>(row + (i64)w * s.channels);
#pragma unroll
                    for (int i = 0; i < N; i++) {
                        bool replaces = next[i] > most[i] || next[i] != next[i];
                        most[i] = replaces ? next[i] : most[i];
                        place[i] = replaces ? (u8)here : place[i];
                    }
                }
            }
        store_narrow<N>(out + at, most);
        if (places) {
            Pack<u8, N> pack;
#pragma unroll
            for (int i = 0; i < N; i++) pack.v[i] = place[i];
            store<N>(places + at, pack);
        }
    }
}

KERNEL BOUNDS(256, 4) pool(REAL* out, u8* places, const REAL* x, Sizes s) {
    if (s.width == 1) maxima<1>(out, places, x, s);
    else maxima<PACK<REAL>>(out, places, x, s);
}

template <int N> DEVICE inline void spread(REAL* out, const REAL* grad, const u8* places, const Sizes& s) {
    for (i64 at = ((i64)blockIdx.x * 256 + threadIdx.x) * N; at < s.count; at += (i64)gridDim.x * 256 * N) {
        Voxel v = voxel(at, s.input, s.channels);
        i32 z = v.z / s.window[0], y = v.y / s.window[1], x = v.x / s.window[2];
        Wide<REAL, N> g = {};
        if (z < s.output[0] && y < s.output[1] && x < s.output[2]) {
            i32 place = ((v.z - z * s.window[0]) * s.window[1] + v.y - y * s.window[1]) * s.window[2] + v.x -
                        x * s.window[2];
            v.z = z;
            v.y = y;
            v.x = x;
            i64 from = offset(v, s.output, s.channels);
            g = widened<N>(grad + from);
            Pack<u8, N> pack = load<N>(places + from);
#pragma unroll
            for (int i = 0; i < N; i++) g[i] = pack.v[i] == place ? g[i] : 0.f;
        }
        store_narrow<N>(out + at, g);
    }
}

// Here `count` is the numbers of the input, whose gradient this is.
KERNEL BOUNDS(256, 4) gradient(REAL* out, const REAL* grad, const u8* places, Sizes s) {
    if (s.width == 1) spread<1>(out, grad, places, s);
    else spread<PACK<REAL>>(out, grad, places, s);
}
