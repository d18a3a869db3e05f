#include "fibers.h"

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include <sys/mman.h>

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#define CELLSEG_WITH_ASAN 1
#endif
#if !defined(__x86_64__)
#include <ucontext.h>
#endif

namespace cellseg_emulated {
namespace {

constexpr unsigned FIBERS = 1024;  // the most threads of a block
constexpr size_t GUARD = 64 << 10; // not accessible: an overflow ends in a fault, not in the neighbour
constexpr size_t STACK = GUARD + (192 << 10);

char* stacks() {
    static char* const all = [] {
        void* memory = mmap(nullptr, STACK * FIBERS, PROT_READ | PROT_WRITE,
                            MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (memory == MAP_FAILED) {
            std::fputs("emulated device: no memory for the stacks of a block\n", stderr);
            std::abort();
        }
        for (unsigned i = 0; i < FIBERS; i++) mprotect(static_cast<char*>(memory) + STACK * i, GUARD, PROT_NONE);
        return static_cast<char*>(memory);
    }();
    return all;
}

/// The end of a fiber's stack. Tops at equal distances would all fall into one set of the cache.
char* top(unsigned fiber) { return stacks() + STACK * (fiber + 1) - 192 * (fiber % 16); }

#if defined(__x86_64__)
void* host;
void* resume_at[FIBERS];  // stack pointers

extern "C" void cellseg_switch(void** save, void* to);
// What a called function must keep (System V ABI): six registers, the SSE and x87 control words are never changed here.
asm(R"(.text
.hidden cellseg_switch
.globl cellseg_switch
.type cellseg_switch,@function
cellseg_switch:
    pushq %rbp
    pushq %rbx
    pushq %r12
    pushq %r13
    pushq %r14
    pushq %r15
    movq %rsp, (%rdi)
    movq %rsi, %rsp
    popq %r15
    popq %r14
    popq %r13
    popq %r12
    popq %rbx
    popq %rbp
    ret
.size cellseg_switch,.-cellseg_switch
)");

void prepare(unsigned fiber, void (*entry)()) {
    // As if `entry` had been called: its return address (none) above the 16-aligned stack pointer.
    void** stack = reinterpret_cast<void**>(reinterpret_cast<uintptr_t>(top(fiber)) & ~uintptr_t(15)) - 2;
    stack[1] = nullptr;
    stack[0] = reinterpret_cast<void*>(entry);
    stack -= 6;
    std::memset(stack, 0, 6 * sizeof(void*));
    resume_at[fiber] = stack;
}
void leave_host(unsigned to) { cellseg_switch(&host, resume_at[to]); }
void change(unsigned from, unsigned to) { cellseg_switch(&resume_at[from], resume_at[to]); }
void leave_fiber(unsigned from) { cellseg_switch(&resume_at[from], host); }
#else
// Slower by a factor of about 30 (each switch asks the kernel for the signal mask), and everywhere.
ucontext_t host;
ucontext_t contexts[FIBERS];

void prepare(unsigned fiber, void (*entry)()) {
    getcontext(&contexts[fiber]);
    contexts[fiber].uc_stack.ss_sp = stacks() + STACK * fiber + GUARD;
    contexts[fiber].uc_stack.ss_size = top(fiber) - (stacks() + STACK * fiber + GUARD);
    contexts[fiber].uc_link = nullptr;
    makecontext(&contexts[fiber], entry, 0);
}
void leave_host(unsigned to) { swapcontext(&host, &contexts[to]); }
void change(unsigned from, unsigned to) { swapcontext(&contexts[from], &contexts[to]); }
void leave_fiber(unsigned) { setcontext(&host); }
#endif

#ifdef CELLSEG_WITH_ASAN
// AddressSanitizer must know whose stack is in use.
const void* host_stack;
size_t host_stack_size;
void* fake[FIBERS];
void* host_fake;
void announce(void** save, unsigned to) {
    __sanitizer_start_switch_fiber(save, stacks() + STACK * to + GUARD, STACK - GUARD);
}
#endif

void (*entry_of_all)();
/// Where a fiber begins.
void begin() {
#ifdef CELLSEG_WITH_ASAN
    const void* left;
    size_t size;
    __sanitizer_finish_switch_fiber(nullptr, &left, &size);
    if (!host_stack) host_stack = left, host_stack_size = size;
#endif
    entry_of_all();
}

}  // namespace

void prepare_fibers(unsigned count, void (*entry)()) {
    entry_of_all = entry;
    for (unsigned i = 0; i < count; i++) {
#ifdef CELLSEG_WITH_ASAN
        // What a thread that never ended left marked.
        ASAN_UNPOISON_MEMORY_REGION(stacks() + STACK * i + GUARD, STACK - GUARD);
#endif
        prepare(i, begin);
    }
}

void switch_from_host(unsigned to) {
#ifdef CELLSEG_WITH_ASAN
    host_stack = nullptr;
    announce(&host_fake, to);
#endif
    leave_host(to);
#ifdef CELLSEG_WITH_ASAN
    __sanitizer_finish_switch_fiber(host_fake, nullptr, nullptr);
#endif
}

void switch_fiber(unsigned from, unsigned to) {
#ifdef CELLSEG_WITH_ASAN
    announce(&fake[from], to);
#endif
    change(from, to);
#ifdef CELLSEG_WITH_ASAN
    __sanitizer_finish_switch_fiber(fake[from], nullptr, nullptr);
#endif
}

bool is_in_stack(const void* address) {
    const char* at = static_cast<const char*>(address);
    return at >= stacks() && at < stacks() + STACK * FIBERS;
}

void switch_to_host(unsigned from) {
#ifdef CELLSEG_WITH_ASAN
    __sanitizer_start_switch_fiber(nullptr, host_stack, host_stack_size);
#endif
    leave_fiber(from);
    __builtin_unreachable();
}

}  // namespace cellseg_emulated
