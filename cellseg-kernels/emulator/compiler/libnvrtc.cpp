// A stand-in for libnvrtc: it "compiles" by finding the unit (the program's name and its -D options) among those that were
// built into the emulated device. Everything else about a program, its text too, is only compared.
#include <algorithm>
#include <cstring>
#include <string>
#include <vector>

extern "C" bool cellseg_emulated_compile(const char* source, const char* text, const char* defines, const char* target,
                                         std::string& image, std::string& log);

namespace {

enum Result : int { SUCCESS = 0, INVALID_INPUT = 3, INVALID_PROGRAM = 4, INVALID_OPTION = 5, COMPILATION = 6 };

struct Program {
    std::string text, name, image, log;
};

Program& of(void* program) { return *static_cast<Program*>(program); }

/// Strings go out with the zero at their end.
Result size_of(const std::string& text, size_t* size) { return *size = text.size() + 1, SUCCESS; }
Result copy_of(const std::string& text, char* to) { return std::memcpy(to, text.c_str(), text.size() + 1), SUCCESS; }

constexpr int KNOWN[] = {75, 80, 86, 87, 89, 90, 100, 103, 110, 120, 121};  // those of NVRTC 13.0

}  // namespace

#define CELLSEG_API extern "C" __attribute__((visibility("default")))

// A version that no real NVRTC has.
CELLSEG_API Result nvrtcVersion(int* major, int* minor) { return *major = 13, *minor = 999, SUCCESS; }
CELLSEG_API Result nvrtcGetNumSupportedArchs(int* count) { return *count = int(std::size(KNOWN)), SUCCESS; }
CELLSEG_API Result nvrtcGetSupportedArchs(int* archs) { return std::copy(std::begin(KNOWN), std::end(KNOWN), archs), SUCCESS; }

CELLSEG_API const char* nvrtcGetErrorString(Result code) {
    switch (code) {
    case SUCCESS: return "NVRTC_SUCCESS";
    case INVALID_INPUT: return "NVRTC_ERROR_INVALID_INPUT";
    case INVALID_PROGRAM: return "NVRTC_ERROR_INVALID_PROGRAM";
    case INVALID_OPTION: return "NVRTC_ERROR_INVALID_OPTION";
    case COMPILATION: return "NVRTC_ERROR_COMPILATION";
    }
    return "NVRTC_ERROR_UNKNOWN";
}

CELLSEG_API Result nvrtcCreateProgram(void** out, const char* text, const char* name, int headers, const char* const*,
                                      const char* const*) {
    if (!text || headers) return INVALID_INPUT;
    *out = new Program{text, name ? name : "default_program", {}, {}};
    return SUCCESS;
}
CELLSEG_API Result nvrtcDestroyProgram(void** program) {
    if (!program || !*program) return INVALID_PROGRAM;
    delete static_cast<Program*>(*program);
    *program = nullptr;
    return SUCCESS;
}

CELLSEG_API Result nvrtcCompileProgram(void* program, int count, const char* const* options) {
    std::vector<std::string> defines;
    std::string target;
    for (int i = 0; i < count; i++) {
        const std::string option = options[i], architecture = "--gpu-architecture=";
        if (!option.compare(0, 2, "-D")) defines.push_back(option.substr(2));
        else if (!option.compare(0, architecture.size(), architecture)) target = option.substr(architecture.size());
    }
    std::sort(defines.begin(), defines.end());
    std::string all;
    for (const std::string& define : defines) all += (all.empty() ? "" : " ") + define;
    Program& of_this = of(program);
    if (target.empty()) return of_this.log = "no --gpu-architecture\n", INVALID_OPTION;
    const bool found = cellseg_emulated_compile(of_this.name.c_str(), of_this.text.c_str(), all.c_str(), target.c_str(),
                                                of_this.image, of_this.log);
    return found ? SUCCESS : COMPILATION;
}

CELLSEG_API Result nvrtcGetProgramLogSize(void* program, size_t* size) { return size_of(of(program).log, size); }
CELLSEG_API Result nvrtcGetProgramLog(void* program, char* to) { return copy_of(of(program).log, to); }
CELLSEG_API Result nvrtcGetCUBINSize(void* program, size_t* size) { return size_of(of(program).image, size); }
CELLSEG_API Result nvrtcGetCUBIN(void* program, char* to) { return copy_of(of(program).image, to); }
CELLSEG_API Result nvrtcGetPTXSize(void* program, size_t* size) { return size_of(of(program).image, size); }
CELLSEG_API Result nvrtcGetPTX(void* program, char* to) { return copy_of(of(program).image, to); }
