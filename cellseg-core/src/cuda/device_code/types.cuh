// The vocabulary of all kernels: numbers, packs of them, and how a kernel is declared. Pasted before every kernel text, so
// that a kernel needs no header. `CELLSEG_EMULATED` is defined where g++ builds the text for the emulated device.

typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long long u64;
typedef int i32;
typedef long long i64;
typedef float f32;
typedef double f64;

#define DEVICE __device__
#ifdef CELLSEG_EMULATED
#define KERNEL static void
#define BOUNDS(threads, blocks)
#define DYNAMIC_SHARED unsigned char* const smem = cellseg_emulated::dynamic_shared()
#else
/// A kernel follows: `KERNEL name(..) {`, or with the most threads a block and the fewest blocks a multiprocessor
/// that registers are shared out for, `KERNEL BOUNDS(256, 2) name(..) {`.
#define KERNEL extern "C" __global__ void
#define BOUNDS(threads, blocks) __launch_bounds__(threads, blocks)
/// Declares `smem`, the dynamic shared memory of the block, aligned to 1024 bytes.
#define DYNAMIC_SHARED extern __shared__ __align__(1024) unsigned char smem[]
#endif

/// Half precision (IEEE 754 binary16), as stored.
struct f16 {
    u16 bits;
};

/// The upper half of an f32, as stored.
struct bf16 {
    u16 bits;
};

template <typename T> DEVICE inline T ceil_div(T a, T b) { return (a + b - 1) / b; }

DEVICE inline f32 infinity() { return __uint_as_float(0x7f800000u); }

/// The value as f32; exact.
DEVICE inline f32 wide(f32 x) { return x; }
DEVICE inline f32 wide(bf16 x) { return __uint_as_float(u32(x.bits) << 16); }
DEVICE inline f32 wide(f16 x) {
#ifdef CELLSEG_EMULATED
    u32 sign = u32(x.bits & 0x8000) << 16, exponent = x.bits >> 10 & 31, fraction = x.bits & 0x3ff;
    if (exponent == 31) return __uint_as_float(sign | 0x7f800000u | fraction << 13);
    if (exponent) return __uint_as_float(sign | (exponent + 112) << 23 | fraction << 13);
    f32 subnormal = f32(fraction) * 0x1p-24f;
    return sign ? -subnormal : subnormal;
#else
    f32 wide;
    asm("cvt.f32.f16 %0, %1;" : "=f"(wide) : "h"(x.bits));
    return wide;
#endif
}

/// The bits of the nearest bf16, ties to even; every NaN becomes 0x7fff.
DEVICE inline u16 nearest_bf16(f32 x) {
#if !defined(CELLSEG_EMULATED) && __CUDA_ARCH__ >= 800
    u16 bits;
    asm("cvt.rn.bf16.f32 %0, %1;" : "=h"(bits) : "f"(x));
    return bits;
#else
    u32 bits = __float_as_uint(x);
    if ((bits & 0x7fffffffu) > 0x7f800000u) return 0x7fff;
    return u16((bits + 0x7fffu + (bits >> 16 & 1)) >> 16);
#endif
}

/// The bits of the nearest f16, ties to even; every NaN becomes 0x7fff.
DEVICE inline u16 nearest_f16(f32 x) {
#ifdef CELLSEG_EMULATED
    u32 bits = __float_as_uint(x), sign = bits >> 16 & 0x8000, magnitude = bits & 0x7fffffffu;
    if (magnitude > 0x7f800000u) return 0x7fff;
    if (magnitude >= 0x477ff000u) return u16(sign | 0x7c00);  // 65520 and more round to infinity
    if (magnitude < 0x38800000u) {                            // a subnormal: the multiple of 2^-24 that is nearest
        f32 shifted = __uint_as_float(magnitude) + 0.5f;      // one unit in the last place of [0.5, 1) is 2^-24
        return u16(sign | (__float_as_uint(shifted) - 0x3f000000u));
    }
    return u16(sign | (magnitude - 0x38000000u + 0xfffu + (magnitude >> 13 & 1)) >> 13);
#else
    u16 bits;
    asm("cvt.rn.f16.f32 %0, %1;" : "=h"(bits) : "f"(x));
    return bits;
#endif
}

/// The value as `T`, rounded to nearest, ties to even: `narrow<REAL>(sum)`.
template <typename T> DEVICE T narrow(f32 x);
template <> DEVICE inline f32 narrow<f32>(f32 x) { return x; }
template <> DEVICE inline f16 narrow<f16>(f32 x) { return f16{nearest_f16(x)}; }
template <> DEVICE inline bf16 narrow<bf16>(f32 x) { return bf16{nearest_bf16(x)}; }

/// Two values as 16-bit `T` in one register, as the operands of `mma` hold them: `low` in the lower half.
template <typename T> DEVICE u32 narrow2(f32 low, f32 high);
template <> DEVICE inline u32 narrow2<f16>(f32 low, f32 high) {
#if !defined(CELLSEG_EMULATED) && __CUDA_ARCH__ >= 800
    u32 both;
    asm("cvt.rn.f16x2.f32 %0, %1, %2;" : "=r"(both) : "f"(high), "f"(low));
    return both;
#else
    return nearest_f16(low) | u32(nearest_f16(high)) << 16;
#endif
}
template <> DEVICE inline u32 narrow2<bf16>(f32 low, f32 high) {
#if !defined(CELLSEG_EMULATED) && __CUDA_ARCH__ >= 800
    u32 both;
    asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(both) : "f"(high), "f"(low));
    return both;
#else
    return nearest_bf16(low) | u32(nearest_bf16(high)) << 16;
#endif
}

/// `N` neighbours in memory, read and written by one instruction of at most 16 bytes.
template <typename T, i32 N> struct alignas(sizeof(T) * N) Pack {
    static_assert(sizeof(T) * N <= 16, "one instruction moves at most 16 bytes");
    T v[N];
};

/// Reads `N` neighbours; `from` is aligned to their size.
template <i32 N, typename T> DEVICE inline Pack<T, N> load(const T* from) {
    return *reinterpret_cast<const Pack<T, N>*>(from);
}

/// Writes `N` neighbours; `to` is aligned to their size.
template <i32 N, typename T> DEVICE inline void store(T* to, const Pack<T, N>& pack) {
    *reinterpret_cast<Pack<T, N>*>(to) = pack;
}
