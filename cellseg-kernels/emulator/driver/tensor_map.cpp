// Tensor maps: the description of a global tensor that a bulk copy reads. The real one is opaque; this one holds
//   words[0] a mark, [1] address, [2] rank, [3] bytes of an element, [4] swizzle, [5..10) sizes, [10..14) strides in bytes of
//   axes 1 and up, [14] and [15] the box as five 16-bit numbers, axis 0 lowest.
#include <cstdint>
#include <cstring>

#include "api.h"
#include "memory.h"

using namespace cellseg_emulated;

namespace {

constexpr uint64_t MARK = 0xE3A7ED;
constexpr unsigned SWIZZLE_128B = 3;
/// By CUtensorMapDataType.
constexpr uint64_t ELEMENT_BYTES[] = {1, 2, 4, 4, 8, 8, 2, 4, 8, 2, 4, 4, 4};

}  // namespace

CELLSEG_API cuTensorMapEncodeTiled(void* map, unsigned type, unsigned rank, void* address, const uint64_t* sizes,
                                   const uint64_t* strides, const uint32_t* box, const uint32_t* element_strides,
                                   unsigned interleave, unsigned swizzle, unsigned, unsigned) {
    auto held = alone();
    auto wrong = [](const char* why) { return because(INVALID_VALUE, why); };
    if (reinterpret_cast<uintptr_t>(map) % 64) return wrong("a tensor map that is not aligned to 64 bytes");
    if (type >= sizeof ELEMENT_BYTES / sizeof *ELEMENT_BYTES) return wrong("a tensor map of no known element type");
    if (rank < 1 || rank > 5) return wrong("a tensor map of other than 1 to 5 axes");
    if (reinterpret_cast<uintptr_t>(address) % 16 || !find(address, 1))
        return wrong("a tensor map of memory that is not a device's, or not aligned to 16 bytes");
    if (interleave) return wrong("interleaved tensor maps are not emulated");
    uint64_t words[16] = {MARK, reinterpret_cast<uint64_t>(address), rank, ELEMENT_BYTES[type], swizzle};
    for (unsigned axis = 0; axis < rank; axis++) {
        if (sizes[axis] < 1 || sizes[axis] > uint64_t(1) << 32) return wrong("a tensor map with an axis of size 0, or above 2^32");
        if (box[axis] < 1 || box[axis] > 256) return wrong("a tensor map with a box of other than 1 to 256 along an axis");
        if (element_strides[axis] != 1) return wrong("tensor maps with element strides are not emulated");
        words[5 + axis] = sizes[axis];
        words[14 + axis / 4] |= uint64_t(box[axis]) << 16 * (axis % 4);
        if (axis + 1 < rank) {
            if (strides[axis] % 16 || strides[axis] >= uint64_t(1) << 40)
                return wrong("a tensor map with a stride that is no multiple of 16 bytes below 2^40");
            words[10 + axis] = strides[axis];
        }
    }
    const uint64_t inner = box[0] * words[3];
    if (inner % 16) return wrong("a tensor map whose box's rows are no multiple of 16 bytes");
    if (swizzle == SWIZZLE_128B && inner > 128) return wrong("a tensor map with rows above 128 bytes under SWIZZLE_128B");
    if (swizzle != 0 && swizzle != SWIZZLE_128B) return wrong("only no swizzle and SWIZZLE_128B are emulated");
    std::memcpy(map, words, sizeof words);
    return SUCCESS;
}
