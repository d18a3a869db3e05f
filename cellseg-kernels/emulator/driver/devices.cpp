// The calls that ask what there is, and the context of a thread.
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <string>

#include "api.h"
#include "memory.h"
#include "streams.h"

using namespace cellseg_emulated;
using Context = void*;

namespace cellseg_emulated {

std::unique_lock<std::recursive_mutex> alone() {
    static auto* lock = new std::recursive_mutex;
    return std::unique_lock(*lock);
}

namespace {

thread_local Context context;
thread_local std::map<Result, std::string> reasons;

/// How many devices there are: `CELLSEG_EMULATED_DEVICES`, else one.
int devices() {
    static const int count = [] {
        const char* text = std::getenv("CELLSEG_EMULATED_DEVICES");
        int value = text ? std::atoi(text) : 1;
        return value >= 0 && value <= 16 ? value : 1;
    }();
    return count;
}

/// What `CELLSEG_EMULATED_CAPABILITY` names, such as 7.5, else 9.0: as 75 or 90.
int capability() {
    static const int number = [] {
        const char* text = std::getenv("CELLSEG_EMULATED_CAPABILITY");
        int major = 9, minor = 0, length = 0;
        if (text && (std::sscanf(text, "%d.%d%n", &major, &minor, &length) != 2 || text[length])) {
            std::fprintf(stderr, "emulated device: CELLSEG_EMULATED_CAPABILITY=%s is no capability, such as 8.0\n", text);
            std::exit(2);
        }
        return 10 * major + minor;
    }();
    return number;
}

}  // namespace

Result because(Result code, const char* why) {
    reasons[code] = why;
    return code;
}

/// CUDA C++ Programming Guide, table of compute capabilities.
size_t most_shared_of_block() {
    switch (capability()) {
    case 75: return 64 << 10;
    case 80: return 163 << 10;
    case 86: case 89: return 99 << 10;
    default: return (capability() >= 90 ? 227 : 48) << 10;
    }
}

int current_device() { return context ? int(reinterpret_cast<intptr_t>(context)) - 1 : -1; }

}  // namespace cellseg_emulated

CELLSEG_API cuInit(unsigned) { return devices() ? SUCCESS : Result(100); }
CELLSEG_API cuDriverGetVersion(int* version) { return *version = 13000, SUCCESS; }
CELLSEG_API cuDeviceGetCount(int* count) { return *count = devices(), SUCCESS; }
CELLSEG_API cuDeviceGet(int* device, int ordinal) {
    if (ordinal < 0 || ordinal >= devices()) return INVALID_DEVICE;
    return *device = ordinal, SUCCESS;
}
CELLSEG_API cuDeviceGetName(char* name, int length, int) {
    std::snprintf(name, size_t(length), "emulated device (capability %d.%d)", capability() / 10, capability() % 10);
    return SUCCESS;
}
CELLSEG_API cuDeviceTotalMem_v2(size_t* bytes, int) { return *bytes = memory_of_device(), SUCCESS; }

CELLSEG_API cuDeviceGetAttribute(int* value, int attribute, int) {
    switch (attribute) {
    case 1: case 2: case 3: *value = 1024; break;      // threads of a block; its x, y
    case 4: *value = 64; break;                        // its z
    case 5: *value = 0x7fffffff; break;                // the grid's x
    case 6: case 7: *value = 65535; break;             // its y, z
    case 8: *value = 48 << 10; break;                  // shared memory of a block that does not ask for more
    case 10: *value = 32; break;                       // lanes of a warp
    case 12: case 82: *value = 65536; break;           // registers of a block, of a multiprocessor
    case 16: *value = 4; break;                        // multiprocessors
    case 38: *value = 4 << 20; break;                  // L2 cache
    case 39: *value = 2048; break;                     // threads of a multiprocessor
    case 31: case 41: case 115: *value = 1; break;     // concurrent kernels, unified addresses, memory pools
    case 40: *value = 2; break;                        // copy engines
    case 75: *value = capability() / 10; break;
    case 76: *value = capability() % 10; break;
    case 81: *value = int(most_shared_of_block()) + 1024; break; // shared memory of a multiprocessor
    case 97: *value = int(most_shared_of_block()); break;       // shared memory of a block that asks for it
    default: *value = 0;
    }
    return SUCCESS;
}

CELLSEG_API cuDevicePrimaryCtxRetain(Context* made, int device) {
    if (device < 0 || device >= devices()) return INVALID_DEVICE;
    *made = reinterpret_cast<Context>(intptr_t(device) + 1);
    return SUCCESS;
}
CELLSEG_API cuDevicePrimaryCtxRelease_v2(int) { return SUCCESS; }
CELLSEG_API cuCtxGetCurrent(Context* now) { return *now = context, SUCCESS; }
CELLSEG_API cuCtxSetCurrent(Context now) { return context = now, SUCCESS; }
CELLSEG_API cuCtxSynchronize() {
    auto held = alone();
    if (current_device() < 0) return INVALID_CONTEXT;
    run_all(current_device());
    std::string fault = take_fault();
    return fault.empty() ? SUCCESS : because(LAUNCH_FAILED, fault.c_str());
}

CELLSEG_API cuGetErrorName(Result code, const char** name) {
    static const std::map<int, const char*> names = {
        {0, "CUDA_SUCCESS"},
        {1, "CUDA_ERROR_INVALID_VALUE"},
        {2, "CUDA_ERROR_OUT_OF_MEMORY"},
        {100, "CUDA_ERROR_NO_DEVICE"},
        {101, "CUDA_ERROR_INVALID_DEVICE"},
        {200, "CUDA_ERROR_INVALID_IMAGE"},
        {201, "CUDA_ERROR_INVALID_CONTEXT"},
        {400, "CUDA_ERROR_INVALID_HANDLE"},
        {500, "CUDA_ERROR_NOT_FOUND"},
        {600, "CUDA_ERROR_NOT_READY"},
        {701, "CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES"},
        {719, "CUDA_ERROR_LAUNCH_FAILED"},
    };
    auto found = names.find(code);
    *name = found == names.end() ? "CUDA_ERROR_UNKNOWN" : found->second;
    return SUCCESS;
}

CELLSEG_API cuGetErrorString(Result code, const char** text) {
    auto reason = reasons.find(code);
    if (reason == reasons.end()) return cuGetErrorName(code, text);
    // The caller may keep the pointer for ever.
    *text = strdup(("emulated device: " + reason->second).c_str());
    return SUCCESS;
}
