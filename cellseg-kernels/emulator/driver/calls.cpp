// The calls that move memory and order work: each checks what the driver would, and queues.
#include <cstring>
#include <map>
#include <string>
#include <vector>

#include "api.h"
#include "memory.h"
#include "streams.h"

using namespace cellseg_emulated;
using Address = unsigned long long;

namespace {

void* pointer(Address address) { return reinterpret_cast<void*>(address); }

/// The stream that a handle means: null is the default stream of the thread's device.
Stream* stream_of(void* handle) { return handle ? static_cast<Stream*>(handle) : default_stream(current_device()); }

Result heard() {
    std::string fault = take_fault();
    return fault.empty() ? SUCCESS : because(LAUNCH_FAILED, fault.c_str());
}

Result obtain(Address* out, size_t bytes) {
    const int device = current_device();
    if (device < 0) return INVALID_CONTEXT;
    if (bytes == 0) return INVALID_VALUE;
    void* start = allocate(device, bytes);
    if (!start) {
        run_all(device);  // memory that queued work gives back
        start = allocate(device, bytes);
    }
    if (!start) return OUT_OF_MEMORY;
    *out = reinterpret_cast<Address>(start);
    return SUCCESS;
}

Result must_be_device_memory(Address at, size_t bytes) {
    if (find(pointer(at), bytes)) return SUCCESS;
    return because(INVALID_VALUE, "a copy or fill of memory that is not one allocation of a device");
}

}  // namespace

CELLSEG_API cuMemAlloc_v2(Address* out, size_t bytes) {
    auto held = alone();
    return obtain(out, bytes);
}
CELLSEG_API cuMemAllocAsync(Address* out, size_t bytes, void*) {
    auto held = alone();
    return obtain(out, bytes);
}
CELLSEG_API cuMemFreeAsync(Address address, void* stream) {
    auto held = alone();
    if (!find(pointer(address), 1)) return INVALID_VALUE;
    push(stream_of(stream), [=](std::string& fault) { return release(pointer(address), fault) && fault.empty(); });
    return SUCCESS;
}
CELLSEG_API cuMemFree_v2(Address address) {
    auto held = alone();
    if (current_device() < 0) return INVALID_CONTEXT;
    run_all(current_device());
    std::string complaint;
    if (!release(pointer(address), complaint)) return INVALID_VALUE;
    return complaint.empty() ? heard() : because(LAUNCH_FAILED, complaint.c_str());
}
CELLSEG_API cuMemGetInfo_v2(size_t* free, size_t* total) {
    auto held = alone();
    if (current_device() < 0) return INVALID_CONTEXT;
    *free = free_memory(current_device());
    *total = memory_of_device();
    return SUCCESS;
}

// The pool of a device: what is given back is free at once, so it has nothing to keep.
CELLSEG_API cuDeviceGetDefaultMemPool(void** pool, int device) {
    *pool = reinterpret_cast<void*>(intptr_t(device) + 1);
    return SUCCESS;
}
CELLSEG_API cuMemPoolSetAttribute(void*, int, void*) { return SUCCESS; }
CELLSEG_API cuMemPoolTrimTo(void*, size_t) { return SUCCESS; }

CELLSEG_API cuMemHostAlloc(void** out, size_t bytes, unsigned) {
    auto held = alone();
    *out = allocate_pinned(bytes);
    return *out ? SUCCESS : OUT_OF_MEMORY;
}
CELLSEG_API cuMemFreeHost(void* start) {
    auto held = alone();
    if (current_device() >= 0) run_all(current_device());
    return release_pinned(start) ? SUCCESS : INVALID_VALUE;
}

CELLSEG_API cuMemsetD8Async(Address to, unsigned char byte, size_t bytes, void* stream) {
    auto held = alone();
    if (Result wrong = must_be_device_memory(to, bytes)) return wrong;
    push(stream_of(stream), [=](std::string&) {
        std::memset(pointer(to), byte, bytes);
        return true;
    });
    return SUCCESS;
}

CELLSEG_API cuMemcpyHtoDAsync_v2(Address to, const void* from, size_t bytes, void* stream) {
    auto held = alone();
    if (Result wrong = must_be_device_memory(to, bytes)) return wrong;
    if (is_pinned(from, bytes)) {
        push(stream_of(stream), [=](std::string&) {
            std::memcpy(pointer(to), from, bytes);
            return true;
        });
        return SUCCESS;
    }
    // The driver reads other host memory before it returns.
    const char* first = static_cast<const char*>(from);
    push(stream_of(stream), [to, staged = std::vector<char>(first, first + bytes)](std::string&) {
        std::memcpy(pointer(to), staged.data(), staged.size());
        return true;
    });
    return SUCCESS;
}

CELLSEG_API cuMemcpyDtoHAsync_v2(void* to, Address from, size_t bytes, void* stream) {
    auto held = alone();
    if (Result wrong = must_be_device_memory(from, bytes)) return wrong;
    push(stream_of(stream), [=](std::string&) {
        std::memcpy(to, pointer(from), bytes);
        return true;
    });
    if (is_pinned(to, bytes)) return SUCCESS;
    // The driver has written other host memory when it returns.
    run_all(stream_of(stream));
    return heard();
}

CELLSEG_API cuMemcpyDtoDAsync_v2(Address to, Address from, size_t bytes, void* stream) {
    auto held = alone();
    if (Result wrong = must_be_device_memory(to, bytes)) return wrong;
    if (Result wrong = must_be_device_memory(from, bytes)) return wrong;
    push(stream_of(stream), [=](std::string&) {
        std::memmove(pointer(to), pointer(from), bytes);
        return true;
    });
    return SUCCESS;
}

CELLSEG_API cuStreamCreate(void** out, unsigned flags) {
    auto held = alone();
    if (current_device() < 0) return INVALID_CONTEXT;
    *out = new_stream(current_device(), !(flags & 1));
    return SUCCESS;
}
CELLSEG_API cuStreamDestroy_v2(void* stream) {
    auto held = alone();
    delete_stream(static_cast<Stream*>(stream));
    return SUCCESS;
}
CELLSEG_API cuStreamSynchronize(void* stream) {
    auto held = alone();
    run_all(stream_of(stream));
    return heard();
}
CELLSEG_API cuStreamWaitEvent(void* stream, void* event, unsigned) {
    auto held = alone();
    wait_for(stream_of(stream), *static_cast<Event*>(event));
    return SUCCESS;
}

CELLSEG_API cuEventCreate(void** out, unsigned) {
    *out = new Event(std::make_shared<Mark>());
    return SUCCESS;
}
CELLSEG_API cuEventDestroy_v2(void* event) {
    auto held = alone();
    delete static_cast<Event*>(event);
    return SUCCESS;
}
CELLSEG_API cuEventRecord(void* event, void* stream) {
    auto held = alone();
    record(*static_cast<Event*>(event), stream_of(stream));
    return SUCCESS;
}
CELLSEG_API cuEventSynchronize(void* event) {
    auto held = alone();
    run_until(*static_cast<Event*>(event));
    return heard();
}
/// Says once that the event is not there yet, so that callers see both answers; then it is.
CELLSEG_API cuEventQuery(void* event) {
    auto held = alone();
    const Event mark = *static_cast<Event*>(event);
    if (mark->done) return heard();
    run_until(mark);
    return NOT_READY;
}
CELLSEG_API cuEventElapsedTime_v2(float* milliseconds, void* start, void* end) {
    auto held = alone();
    const Event from = *static_cast<Event*>(start), to = *static_cast<Event*>(end);
    if (!from->done || !to->done) return NOT_READY;
    *milliseconds = std::chrono::duration<float, std::milli>(to->at - from->at).count();
    return SUCCESS;
}
CELLSEG_API cuEventElapsedTime(float* milliseconds, void* start, void* end) {
    return cuEventElapsedTime_v2(milliseconds, start, end);
}
