// The memory of the emulated devices, and the host memory that they copy from by themselves.
#pragma once
#include <cstddef>
#include <cstdint>
#include <string>

namespace cellseg_emulated {

/// Bytes of device memory in one allocation.
struct Allocation {
    char *start, *mapping;
    size_t bytes, mapped;
    int device;
};

/// How much memory each device has: `CELLSEG_EMULATED_MEMORY` bytes (with K, M or G for the powers of 1024), else 8 GiB.
size_t memory_of_device();
size_t free_memory(int device);

/// Memory filled with NaN, aligned to 256 bytes; null where the device has no more.
void* allocate(int device, size_t bytes);
/// False where `start` is not the start of an allocation; `complaint` where a kernel wrote just behind it.
bool release(void* start, std::string& complaint);
/// The allocation that holds all of these bytes, or null.
const Allocation* find(const void* at, size_t bytes);

void* allocate_pinned(size_t bytes);
bool release_pinned(void* start);
bool is_pinned(const void* at, size_t bytes);

}  // namespace cellseg_emulated
