// The calls that load kernels and launch them.
#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "../device/threads.h"
#include "api.h"
#include "memory.h"
#include "streams.h"
#include "units.h"

using namespace cellseg_emulated;

namespace {

/// A kernel of a loaded module, and what was allowed to it.
struct Function {
    const Kernel* kernel;
    unsigned dynamic_shared;
};

/// Copies of a launch's arguments, each aligned as a tensor map must be.
class Arguments {
public:
    void add(const void* value, size_t bytes) {
        void* copy = std::aligned_alloc(ALIGNMENT, (bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT);
        std::memcpy(copy, value, bytes);
        owned.emplace_back(copy);
        all.push_back(copy);
    }
    void** pointers() { return all.data(); }

private:
    static constexpr size_t ALIGNMENT = 64;
    struct Free {
        void operator()(void* memory) const { std::free(memory); }
    };
    std::vector<std::unique_ptr<void, Free>> owned;
    std::vector<void*> all;
};

// What a block may have without asking, static memory and dynamic together.
constexpr unsigned ALWAYS_ALLOWED = 48 << 10;
constexpr int MAX_DYNAMIC_SHARED_SIZE_BYTES = 8;

}  // namespace

CELLSEG_API cuModuleLoadData(void** out, const void* image) {
    auto held = alone();
    auto module = std::make_unique<Module>();
    std::string why;
    if (!read_image(static_cast<const char*>(image), *module, why)) return because(INVALID_IMAGE, why.c_str());
    *out = module.release();
    return SUCCESS;
}
CELLSEG_API cuModuleUnload(void* module) {
    delete static_cast<Module*>(module);
    return SUCCESS;
}
CELLSEG_API cuModuleGetFunction(void** out, void* module, const char* name) {
    auto held = alone();
    const Module& loaded = *static_cast<Module*>(module);
    const Kernel* kernel = find_kernel(loaded, name);
    if (!kernel) return because(NOT_FOUND, ("no kernel " + std::string(name) + " in " + loaded.source).c_str());
    const unsigned left = ALWAYS_ALLOWED - std::min(ALWAYS_ALLOWED, kernel->static_shared);
    *out = new Function{kernel, left};  // as long as the process: a function has no destructor in the driver
    return SUCCESS;
}
CELLSEG_API cuFuncSetAttribute(void* function, int attribute, int value) {
    auto held = alone();
    if (attribute == MAX_DYNAMIC_SHARED_SIZE_BYTES) {
        Function& asking = *static_cast<Function*>(function);
        if (value < 0 || size_t(value) + asking.kernel->static_shared > most_shared_of_block())
            return because(INVALID_VALUE, "more shared memory, static and dynamic together, than a block can have");
        asking.dynamic_shared = unsigned(value);
    }
    return SUCCESS;
}

CELLSEG_API cuLaunchKernel(void* handle, unsigned grid_x, unsigned grid_y, unsigned grid_z, unsigned block_x,
                           unsigned block_y, unsigned block_z, unsigned shared, void* stream, void** arguments, void**) {
    auto held = alone();
    if (current_device() < 0) return INVALID_CONTEXT;
    const Function& function = *static_cast<Function*>(handle);
    const Kernel& kernel = *function.kernel;
    const std::string what = std::string(kernel.name) + " of " + kernel.source + ": ";
    if (!grid_x || !grid_y || !grid_z || grid_x > 0x7fffffff || grid_y > 65535 || grid_z > 65535)
        return because(INVALID_VALUE, (what + "a grid with no block, or with more than 65535 along y or z").c_str());
    const uint64_t threads = uint64_t(block_x) * block_y * block_z;
    if (!threads || threads > 1024 || block_x > 1024 || block_y > 1024 || block_z > 64)
        return because(INVALID_VALUE, (what + "a block with no thread, or with more than 1024").c_str());
    if (threads > kernel.most_threads)
        return because(INVALID_VALUE, (what + std::to_string(threads) + " threads, where its BOUNDS say " +
                                       std::to_string(kernel.most_threads)).c_str());
    if (shared > function.dynamic_shared)
        return because(INVALID_VALUE, (what + std::to_string(shared) + " bytes of dynamic shared memory beside " +
                                       std::to_string(kernel.static_shared) + " static ones, where " +
                                       std::to_string(function.dynamic_shared) + " are allowed").c_str());
    // The driver copies the arguments at once, and so does this.
    auto copied = std::make_shared<Arguments>();
    for (unsigned i = 0; i < kernel.arguments; i++) {
        void* address = nullptr;
        if (kernel.is_pointer[i]) std::memcpy(&address, arguments[i], sizeof address);
        if (address && !find(address, 1))
            return because(INVALID_VALUE, (what + "its argument " + std::to_string(i) + " points to no device memory").c_str());
        copied->add(arguments[i], kernel.sizes[i]);
    }
    Stream* queue = stream ? static_cast<Stream*>(stream) : default_stream(current_device());
    push(queue, [=, &kernel](std::string& fault) {
        return launch(kernel, {grid_x, grid_y, grid_z}, {block_x, block_y, block_z}, shared, copied->pointers(), fault);
    });
    return SUCCESS;
}
