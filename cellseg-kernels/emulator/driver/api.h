// What the files of the stand-in driver share: the calling convention of its functions, and the driver's result codes.
#pragma once
#include <cstddef>
#include <mutex>

#define CELLSEG_API extern "C" __attribute__((visibility("default"))) Result

namespace cellseg_emulated {

enum Result : int {
    SUCCESS = 0,
    INVALID_VALUE = 1,
    OUT_OF_MEMORY = 2,
    INVALID_DEVICE = 101,
    INVALID_IMAGE = 200,
    INVALID_CONTEXT = 201,
    INVALID_HANDLE = 400,
    NOT_FOUND = 500,
    NOT_READY = 600,
    LAUNCH_OUT_OF_RESOURCES = 701,
    LAUNCH_FAILED = 719,
};

/// Every call of the driver holds it: one thing happens at a time.
std::unique_lock<std::recursive_mutex> alone();

/// Makes `why` the text that `cuGetErrorString` gives for this code to this thread from now on.
Result because(Result code, const char* why);

/// The device whose context is this thread's; -1 for none.
int current_device();

/// The most bytes of shared memory that a block can have.
size_t most_shared_of_block();

}  // namespace cellseg_emulated
