#include "units.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <set>
#include <sstream>

#include "../device/threads.h"

namespace cellseg_emulated {
namespace {

const char* const FIRST_LINE = "a kernel of the emulated device";

uint64_t fnv1a(const char* text, size_t length) {
    uint64_t hash = 0xcbf29ce484222325u;
    for (size_t i = 0; i < length; i++) hash = (hash ^ static_cast<unsigned char>(text[i])) * 0x100000001b3u;
    return hash;
}

/// How new the code is that a kernel offers a device of target `wanted`: the number of the newest of its targets that the
/// device can run, the device's very own or an older plain one; 0 for none.
int best_for(const Kernel& kernel, const std::string& wanted) {
    auto number = [](const std::string& target) { return std::atoi(target.c_str() + target.find('_') + 1); };
    std::istringstream targets(kernel.targets);
    int best = 0;
    for (std::string listed; targets >> listed;)
        if (listed == wanted || (listed.back() != 'a' && number(listed) <= number(wanted))) best = std::max(best, number(listed));
    return best;
}

bool is_of(const Module& module, const Kernel& kernel) {
    return module.source == kernel.source && module.defines == kernel.defines && module.targets == kernel.targets;
}

}  // namespace

bool make_image(const std::string& source, const std::string& text, const std::string& defines, const std::string& target,
                std::string& image, std::string& log) {
    std::set<std::string> built;
    std::string targets;
    const Kernel* chosen = nullptr;
    for (const Kernel* kernel = kernels; kernel; kernel = kernel->next) {
        if (source != kernel->source) continue;
        built.insert(kernel->defines);
        if (defines != kernel->defines) continue;
        targets += std::string(targets.empty() ? "" : " ") + kernel->targets;
        if (best_for(*kernel, target) > (chosen ? best_for(*chosen, target) : 0)) chosen = kernel;
    }
    if (chosen) {
        // The prelude comes before, one newline after the file's own text.
        const size_t length = chosen->text_length;
        if (text.size() < length + 1 || fnv1a(text.data() + text.size() - 1 - length, length) != chosen->text_hash) {
            log = source + ": the emulated device was built from another state of this file; run the command through "
                  "`cargo run -p cellseg-emulator --` again\n";
            return false;
        }
        std::ostringstream out;
        out << FIRST_LINE << '\n' << source << '\n' << defines << '\n' << chosen->targets << '\n' << chosen->text_hash << '\n';
        image = out.str();
        return true;
    }
    if (!targets.empty()) {
        log = source + ": its line `// targets:` has nothing for " + target + ", only " + targets + "\n";
        return false;
    }
    if (built.empty()) {
        log = source + ": no such file was built into the emulated device: it lies below the `src` of none of its crates, or "
              "has no kernel\n";
    } else {
        log = source + ": not built with these defines; its header needs the line\n// instances: " + defines +
              "\nbeside those it has:\n";
        for (const std::string& one : built) log += "// instances: " + one + "\n";
    }
    return false;
}

bool read_image(const char* image, Module& module, std::string& why) {
    if (std::strncmp(image, FIRST_LINE, std::strlen(FIRST_LINE))) {
        why = "an image that the emulated compiler did not make";
        return false;
    }
    std::istringstream in(image);
    std::string line, hash;
    std::getline(in, line);
    std::getline(in, module.source);
    std::getline(in, module.defines);
    std::getline(in, module.targets);
    std::getline(in, hash);
    for (const Kernel* kernel = kernels; kernel; kernel = kernel->next)
        if (is_of(module, *kernel) && std::to_string(kernel->text_hash) == hash) return true;
    why = "an image of another state of " + module.source;
    return false;
}

const Kernel* find_kernel(const Module& module, const std::string& name) {
    for (const Kernel* kernel = kernels; kernel; kernel = kernel->next)
        if (is_of(module, *kernel) && name == kernel->name) return kernel;
    return nullptr;
}

}  // namespace cellseg_emulated

/// For the stand-in of NVRTC, which is another library.
extern "C" __attribute__((visibility("default"))) bool cellseg_emulated_compile(const char* source, const char* text,
                                                                                const char* defines, const char* target,
                                                                                std::string& image, std::string& log) {
    return cellseg_emulated::make_image(source, text, defines, target, image, log);
}
