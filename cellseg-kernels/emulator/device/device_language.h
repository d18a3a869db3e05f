// What CUDA C++ gives a kernel without any header, for g++: included before the prelude of each unit.
#pragma once
#include <math.h>
#include <stdlib.h>

#include <cstring>
#include <type_traits>
#include <utility>

#include "threads.h"

#define CELLSEG_EMULATED 1
#define __global__
#define __device__
#define __host__
#define __forceinline__ inline
#define __noinline__ __attribute__((noinline))
#define __align__(n) __attribute__((aligned(n)))
#define __launch_bounds__(...)
#define __constant__ static
#define __grid_constant__
// A section of its own for each unit, which is filled with NaN before each block. `CELLSEG_SHARED_SECTION` is the unit's.
#define __shared__ static __attribute__((section(CELLSEG_SHARED_SECTION)))
// `__shared__ alignas(16) f32 x[4]`: after `static` g++ takes its own form of attribute only.
#define alignas(n) __attribute__((aligned(n)))

#define threadIdx (cellseg_emulated::current->index)
#define blockIdx (cellseg_emulated::block.index)
#define blockDim (cellseg_emulated::block.size)
#define gridDim (cellseg_emulated::block.grid)
constexpr int warpSize = 32;

#define CELLSEG_SITE const char *file = __builtin_FILE(), int line = __builtin_LINE()

inline void __syncthreads(CELLSEG_SITE) { cellseg_emulated::barrier({"__syncthreads", file, line}); }

inline void __syncwarp(unsigned mask = ~0u, CELLSEG_SITE) {
    cellseg_emulated::meet({"__syncwarp", file, line}, mask, nullptr, nullptr, nullptr);
}

namespace cellseg_emulated {
/// Every lane gets what lane `from` of it brought; a lane that is not there gives NaN.
template <class T> T shuffle(Site site, unsigned mask, T value, unsigned from) {
    static_assert(std::is_arithmetic_v<T>, "shuffles move numbers");
    struct Slot {
        T value, got;
        unsigned from;
    } mine{value, value, from};
    meet(site, mask, mine, [](Slot* (&lanes)[32]) {
        for (Slot* slot : lanes) {
            if (!slot) continue;
            if (lanes[slot->from]) slot->got = lanes[slot->from]->value;
            else std::memset(&slot->got, 0xff, sizeof(T));
        }
    });
    return mine.got;
}
}  // namespace cellseg_emulated

template <class T> T __shfl_sync(unsigned mask, T value, int from, int width = 32, CELLSEG_SITE) {
    unsigned lane = cellseg_emulated::lane(), first = lane & ~(width - 1);
    return cellseg_emulated::shuffle({"__shfl_sync", file, line}, mask, value, first | (from & (width - 1)));
}
template <class T> T __shfl_xor_sync(unsigned mask, T value, int by, int width = 32, CELLSEG_SITE) {
    unsigned lane = cellseg_emulated::lane(), from = lane ^ by;
    if (from / width > lane / width) from = lane;
    return cellseg_emulated::shuffle({"__shfl_xor_sync", file, line}, mask, value, from % 32);
}
template <class T> T __shfl_down_sync(unsigned mask, T value, unsigned by, int width = 32, CELLSEG_SITE) {
    unsigned lane = cellseg_emulated::lane(), from = lane % width + by < unsigned(width) ? lane + by : lane;
    return cellseg_emulated::shuffle({"__shfl_down_sync", file, line}, mask, value, from);
}
template <class T> T __shfl_up_sync(unsigned mask, T value, unsigned by, int width = 32, CELLSEG_SITE) {
    unsigned lane = cellseg_emulated::lane(), from = lane % width >= by ? lane - by : lane;
    return cellseg_emulated::shuffle({"__shfl_up_sync", file, line}, mask, value, from);
}
inline unsigned __ballot_sync(unsigned mask, int predicate, CELLSEG_SITE) {
    struct Slot {
        bool set;
        unsigned votes;
    } mine{predicate != 0, 0};
    cellseg_emulated::meet({"__ballot_sync", file, line}, mask, mine, [](Slot* (&lanes)[32]) {
        unsigned votes = 0;
        for (int l = 0; l < 32; l++) votes |= unsigned(lanes[l] && lanes[l]->set) << l;
        for (Slot* slot : lanes)
            if (slot) slot->votes = votes;
    });
    return mine.votes;
}
inline int __any_sync(unsigned mask, int predicate, CELLSEG_SITE) {
    return __ballot_sync(mask, predicate, file, line) != 0;
}
inline int __all_sync(unsigned mask, int predicate, CELLSEG_SITE) {
    return __ballot_sync(mask, !predicate, file, line) == 0;
}

inline float __uint_as_float(unsigned bits) {
    float value;
    std::memcpy(&value, &bits, 4);
    return value;
}
inline unsigned __float_as_uint(float value) {
    unsigned bits;
    std::memcpy(&bits, &value, 4);
    return bits;
}
inline float __int_as_float(int bits) { return __uint_as_float(unsigned(bits)); }
inline int __float_as_int(float value) { return int(__float_as_uint(value)); }

inline int min(int a, int b) { return a < b ? a : b; }
inline unsigned min(unsigned a, unsigned b) { return a < b ? a : b; }
inline long long min(long long a, long long b) { return a < b ? a : b; }
inline unsigned long long min(unsigned long long a, unsigned long long b) { return a < b ? a : b; }
inline float min(float a, float b) { return fminf(a, b); }
inline int max(int a, int b) { return a > b ? a : b; }
inline unsigned max(unsigned a, unsigned b) { return a > b ? a : b; }
inline long long max(long long a, long long b) { return a > b ? a : b; }
inline unsigned long long max(unsigned long long a, unsigned long long b) { return a > b ? a : b; }
inline float max(float a, float b) { return fmaxf(a, b); }

inline float rsqrtf(float x) { return 1.0f / sqrtf(x); }
inline float __expf(float x) { return expf(x); }
inline float __logf(float x) { return logf(x); }
inline float __fdividef(float a, float b) { return a / b; }
inline float __frcp_rn(float x) { return 1.0f / x; }
inline float __fsqrt_rn(float x) { return sqrtf(x); }
inline float __saturatef(float x) { return x > 0.0f ? (x < 1.0f ? x : 1.0f) : 0.0f; }
// Products and sums that the compiler must not fuse.
inline float __fmul_rn(float a, float b) {
    volatile float product = a * b;
    return product;
}
inline float __fadd_rn(float a, float b) {
    volatile float sum = a + b;
    return sum;
}
inline float __fsub_rn(float a, float b) { return __fadd_rn(a, -b); }
inline float __fdiv_rn(float a, float b) { return a / b; }
inline float __fmaf_rn(float a, float b, float c) { return fmaf(a, b, c); }
inline int __float2int_rn(float x) { return int(nearbyintf(x)); }
inline int __float2int_rd(float x) { return int(floorf(x)); }
inline float __int2float_rn(int x) { return float(x); }
inline unsigned __umulhi(unsigned a, unsigned b) { return unsigned((unsigned long long)a * b >> 32); }
inline int __popc(unsigned x) { return __builtin_popcount(x); }
inline int __clz(int x) { return x ? __builtin_clz(unsigned(x)) : 32; }
inline int __ffs(int x) { return __builtin_ffs(x); }
inline unsigned __brev(unsigned x) {
    unsigned reversed = 0;
    for (int i = 0; i < 32; i++) reversed |= (x >> i & 1) << (31 - i);
    return reversed;
}
template <class T> T __ldg(const T* from) { return *from; }
inline void __threadfence() {}
inline void __threadfence_block() {}

// One block runs at a time and no switch happens inside, so these are atomic. There is none for f32: sums are ordered here.
template <class T> T atomicAdd(T* at, std::common_type_t<T> value) {
    static_assert(std::is_integral_v<T>, "a sum of floats by atomicAdd has no fixed order");
    T before = *at;
    *at += value;
    return before;
}
template <class T> T atomicMax(T* at, std::common_type_t<T> value) {
    T before = *at;
    if (value > before) *at = value;
    return before;
}
template <class T> T atomicCAS(T* at, std::common_type_t<T> expected, std::common_type_t<T> value) {
    T before = *at;
    if (before == expected) *at = value;
    return before;
}
template <class T> T atomicExch(T* at, std::common_type_t<T> value) { return std::exchange(*at, value); }

namespace cellseg_emulated {
template <class... A, size_t... I> void call(void (*kernel)(A...), void** arguments, std::index_sequence<I...>) {
    kernel(*static_cast<std::remove_cv_t<A>*>(arguments[I])...);
}
/// How a launch calls a kernel: the driver gives a pointer to each argument.
template <auto kernel> struct Signature;
template <class... A, void (*kernel)(A...)> struct Signature<kernel> {
    static constexpr unsigned count = sizeof...(A);
    static constexpr unsigned sizes[] = {unsigned(sizeof(A))..., 0};
    static constexpr unsigned is_pointer[] = {std::is_pointer_v<A>..., 0};
    static void run(void** arguments) { call(kernel, arguments, std::index_sequence_for<A...>{}); }
};

/// What a kernel's name means where an instance leaves the kernel out.
struct NotThere {};

template <auto kernel>
Kernel described(const char* source, const char* defines, const char* targets, uint64_t text_hash, size_t text_length,
                 const char* name, unsigned most_threads, unsigned most_shared, char* shared, char* shared_end) {
    if constexpr (std::is_same_v<decltype(kernel), const NotThere*>) {
        return Kernel{};
    } else {
        using Of = Signature<kernel>;
        const unsigned static_shared = unsigned(shared_end - shared);
        return {source,       defines, targets, text_hash, text_length, name, Of::run, Of::sizes, Of::is_pointer, Of::count,
                most_threads, most_shared < static_shared ? most_shared : static_shared, shared, shared_end, true, nullptr};
    }
}
}  // namespace cellseg_emulated
