// What stands for compiled kernels: text that names a unit, that is one `.cu` file with one set of defines.
#pragma once
#include <string>

namespace cellseg_emulated {

struct Kernel;

/// A loaded image: the targets are those of the build of the unit that was chosen for the device.
struct Module {
    std::string source, defines, targets;
};

/// Writes the image of a unit; false, and why in `log`, where it was not built. `defines` are sorted, "A=1 B=f32".
bool make_image(const std::string& source, const std::string& text, const std::string& defines, const std::string& target,
                std::string& image, std::string& log);
/// Reads an image; false where it is none, or was made from another text than the kernels that were built.
bool read_image(const char* image, Module& module, std::string& why);
const Kernel* find_kernel(const Module& module, const std::string& name);

}  // namespace cellseg_emulated
