#include "memory.h"

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>

#include <sys/mman.h>
#include <unistd.h>

#include "../device/threads.h"

namespace cellseg_emulated {
namespace {

/// By the first address.
std::map<uintptr_t, Allocation> allocations;
std::map<uintptr_t, size_t> pinned;
std::map<int, size_t> in_use;

constexpr size_t ALIGNMENT = 256;
constexpr size_t GUARD = size_t(1) << 20;  // address space that nobody may touch, before and after

size_t round_up(size_t bytes, size_t to) { return (bytes + to - 1) / to * to; }

/// The allocation with the highest start at or below the address.
const Allocation* below(uintptr_t at) {
    auto next = allocations.upper_bound(at);
    return next == allocations.begin() ? nullptr : &std::prev(next)->second;
}

}  // namespace

size_t memory_of_device() {
    static const size_t bytes = [] {
        const char* text = std::getenv("CELLSEG_EMULATED_MEMORY");
        if (!text) return size_t(8) << 30;
        char* end = nullptr;
        size_t value = std::strtoull(text, &end, 10);
        const char* units = "KMG";
        const char* unit = *end ? std::strchr(units, *end) : nullptr;
        if (end == text || (*end && (!unit || end[1]))) {
            std::fprintf(stderr, "emulated device: CELLSEG_EMULATED_MEMORY=%s is no number of bytes, such as 64M\n", text);
            std::exit(2);
        }
        return unit ? value << 10 * (unit - units + 1) : value;
    }();
    return bytes;
}

size_t free_memory(int device) { return memory_of_device() - in_use[device]; }

void* allocate(int device, size_t bytes) {
    if (bytes == 0 || bytes > free_memory(device)) return nullptr;
    Allocation made{nullptr, nullptr, bytes, 0, device};
#ifdef __SANITIZE_ADDRESS__
    // The sanitizer's own zones lie around it.
    void* start = nullptr;
    if (posix_memalign(&start, ALIGNMENT, bytes)) return nullptr;
    made.start = static_cast<char*>(start);
    std::memset(made.start, 0xff, bytes);
#else
    // Its end lies at the guard: what a kernel does beyond is seen at once, but for the bytes that alignment leaves.
    const size_t page = size_t(sysconf(_SC_PAGESIZE)), body = round_up(bytes, page);
    made.mapped = body + 2 * GUARD;
    void* mapping = mmap(nullptr, made.mapped, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (mapping == MAP_FAILED) return nullptr;
    made.mapping = static_cast<char*>(mapping);
    char* first = made.mapping + GUARD;
    mprotect(first, body, PROT_READ | PROT_WRITE);
    made.start = first + body - round_up(bytes, ALIGNMENT);
    std::memset(first, 0xff, body);
#endif
    in_use[device] += bytes;
    allocations[reinterpret_cast<uintptr_t>(made.start)] = made;
    return made.start;
}

bool release(void* start, std::string& complaint) {
    auto found = allocations.find(reinterpret_cast<uintptr_t>(start));
    if (found == allocations.end()) return false;
    const Allocation made = found->second;
#ifdef __SANITIZE_ADDRESS__
    std::free(start);
#else
    for (size_t i = made.bytes; i < round_up(made.bytes, ALIGNMENT) && complaint.empty(); i++)
        if (static_cast<unsigned char>(made.start[i]) != 0xff)
            complaint = "a kernel wrote byte " + std::to_string(i) + " of device memory of " + std::to_string(made.bytes) +
                        " bytes";
    munmap(made.mapping, made.mapped);
#endif
    in_use[made.device] -= made.bytes;
    allocations.erase(found);
    return true;
}

const Allocation* find(const void* at, size_t bytes) {
    const auto address = reinterpret_cast<uintptr_t>(at);
    const Allocation* candidate = below(address);
    if (!candidate) return nullptr;
    const size_t offset = address - reinterpret_cast<uintptr_t>(candidate->start);
    return offset <= candidate->bytes && bytes <= candidate->bytes - offset ? candidate : nullptr;
}

std::string describe_address(const void* at) {
    char text[256];
    const auto address = reinterpret_cast<uintptr_t>(at);
    const Allocation* lower = below(address);
    auto next = allocations.upper_bound(address);
    const size_t after = lower ? address - reinterpret_cast<uintptr_t>(lower->start) : SIZE_MAX;
    const size_t ahead = next != allocations.end() ? next->first - address : SIZE_MAX;
    constexpr size_t NEAR = size_t(1) << 30;
    if (after < ahead && after < NEAR)
        std::snprintf(text, sizeof text, "touches byte %zu of device memory of %zu bytes", after, lower->bytes);
    else if (ahead < NEAR)
        std::snprintf(text, sizeof text, "touches memory %zu bytes before device memory of %zu bytes", ahead,
                      next->second.bytes);
    else
        std::snprintf(text, sizeof text, "touches address %p, which is no device memory", at);
    return text;
}

void* allocate_pinned(size_t bytes) {
    void* start = nullptr;
    if (posix_memalign(&start, 4096, bytes ? bytes : 1)) return nullptr;
    std::memset(start, 0xff, bytes);
    pinned[reinterpret_cast<uintptr_t>(start)] = bytes;
    return start;
}

bool release_pinned(void* start) {
    if (!pinned.erase(reinterpret_cast<uintptr_t>(start))) return false;
    std::free(start);
    return true;
}

bool is_pinned(const void* at, size_t bytes) {
    const auto address = reinterpret_cast<uintptr_t>(at);
    auto next = pinned.upper_bound(address);
    if (next == pinned.begin()) return false;
    --next;
    return address + bytes <= next->first + next->second;
}

}  // namespace cellseg_emulated
