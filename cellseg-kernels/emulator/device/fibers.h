// Switching between threads of execution by hand: a stack each, and a switch of some nanoseconds.
#pragma once
#include <cstddef>

namespace cellseg_emulated {

/// Gives each of the fibers 0..count a fresh stack on which `entry` starts when it is first switched to.
void prepare_fibers(unsigned count, void (*entry)());
/// Leaves the host's stack for fiber `to`; returns when a fiber calls `switch_to_host`.
void switch_from_host(unsigned to);
void switch_fiber(unsigned from, unsigned to);
/// The fiber is not entered again.
[[noreturn]] void switch_to_host(unsigned from);

/// Whether the address lies in a fiber's stack, or in the guard below it.
bool is_in_stack(const void* address);

}  // namespace cellseg_emulated
