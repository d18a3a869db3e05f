#include "threads.h"

#include <algorithm>
#include <csetjmp>
#include <csignal>
#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include <pthread.h>

#include "fibers.h"
#include "order.h"

#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/asan_interface.h>
#endif

namespace cellseg_emulated {

Block block;
Thread* current;
const Kernel* kernels;

Registered::Registered(Kernel& kernel) {
    if (!kernel.there) return;
    kernel.next = kernels;
    kernels = &kernel;
}

namespace {

constexpr size_t MOST_SHARED = 227 << 10;
constexpr size_t BEYOND = 1024;  // bytes after the dynamic shared memory that no thread may write
alignas(1024) unsigned char dynamic[MOST_SHARED + BEYOND];
size_t dynamic_bytes;

Thread threads[1024];
Warp warps[32];
Order order = Order::from_environment();
/// A thread in `wait_until`.
struct Waiting {
    unsigned thread;
    bool (*ready)(const void* closure);
    const void* closure;
};
std::vector<Waiting> waiting;
const Kernel* kernel;
void** kernel_arguments;

bool failed;
std::string message;
sigjmp_buf home;  // after a signal
volatile sig_atomic_t running;
pthread_t runner;
const void* volatile touched;

std::string where() {
    char text[512];
    std::snprintf(text, sizeof text, "kernel %s (%s, %s), block (%u, %u, %u), thread %u", kernel->name, kernel->source,
                  kernel->defines, block.index.x, block.index.y, block.index.z, current->linear);
    return text;
}

/// Nobody can go on: says who waits where.
[[noreturn]] void deadlock() {
    std::string text = "a barrier that not all threads reach:";
    for (unsigned first = 0; first < block.threads;) {
        const Thread& thread = threads[first];
        unsigned last = first;
        auto same = [&](const Thread& other) {
            return !other.exited && !std::strcmp(other.waits_at.file, thread.waits_at.file) &&
                   other.waits_at.line == thread.waits_at.line;
        };
        while (!thread.exited && last + 1 < block.threads && same(threads[last + 1])) last++;
        if (!thread.exited) {
            char line[512];
            std::snprintf(line, sizeof line, " threads %u..%u wait at %s (%s:%d);", first, last, thread.waits_at.operation,
                          thread.waits_at.file, thread.waits_at.line);
            text += line;
        }
        first = last + 1;
    }
    fault("%s %u of %u threads have ended", text.c_str(), block.threads - block.live, block.threads);
}

/// Those of `waiting` that can go on may run.
void take_ready() {
    auto ready = [](const Waiting& one) { return one.ready(one.closure); };
    auto kept = std::stable_partition(waiting.begin(), waiting.end(), [&](const Waiting& one) { return !ready(one); });
    for (auto one = kept; one != waiting.end(); ++one) order.add(one->thread);
    waiting.erase(kept, waiting.end());
}

/// Lets the next thread run; returns when it is this one's turn again.
void wait(Site site) {
    current->waits_at = site;
    if (order.empty()) take_ready();
    if (order.empty()) deadlock();
    unsigned self = current->linear, next = order.take();
    if (next == self) return;
    current = &threads[next];
    switch_fiber(self, next);
}

void finish_barrier() {
    block.arrived = 0;
    for (unsigned i = 0; i < block.threads; i++)
        if (!threads[i].exited) order.add(i);
}

void finish_meeting(Meeting& meeting, unsigned first_thread) {
    if (meeting.complete) meeting.complete(meeting.lanes, meeting.closure);
    for (unsigned left = meeting.arrived; left; left &= left - 1) order.add(first_thread + unsigned(__builtin_ctz(left)));
    meeting.arrived = 0;
}

/// Where lanes wait with this mask, or a free place: there are no more masks in use than lanes that wait.
Meeting& meeting_of(Warp& warp, unsigned mask) {
    Meeting* free = nullptr;
    for (Meeting& meeting : warp.at) {
        if (meeting.arrived && meeting.mask == mask) return meeting;
        if (!meeting.arrived && !free) free = &meeting;
    }
    return *free;
}

/// The body of a fiber.
void run_thread() {
    kernel->run(kernel_arguments);
    current->exited = true;
    unsigned self = current->linear;
    Warp& warp = warps[self / 32];
    warp.alive &= ~(1u << self % 32);
    block.live--;
    // Who waits for this thread waits no longer.
    for (Meeting& meeting : warp.at)
        if (meeting.arrived && !(meeting.mask & warp.alive & ~meeting.arrived)) finish_meeting(meeting, self & ~31u);
    if (block.arrived && block.arrived == block.live) finish_barrier();
    if (block.live == 0) switch_to_host(self);
    wait(Site{"its end", "", 0});
    __builtin_unreachable();
}

/// As `memset`, unseen by AddressSanitizer: its own zones lie between the variables of a unit.
__attribute__((no_sanitize("address"))) void fill_with_nan(char* from, char* to) {
#ifdef __SANITIZE_ADDRESS__
    for (volatile char* at = from; at != to; at++) *at = char(0xff);
#else
    std::memset(from, 0xff, size_t(to - from));
#endif
}

void check_beyond_shared() {
#ifndef __SANITIZE_ADDRESS__
    for (size_t i = 0; i < BEYOND; i++)
        if (dynamic[dynamic_bytes + i] != 0xff) {
            failed = true;
            message = where() + " (or another of its block): byte " + std::to_string(dynamic_bytes + i) +
                      " of the dynamic shared memory was written; the launch asked for " + std::to_string(dynamic_bytes);
            return;
        }
#endif
}

void run_block(uint64_t number) {
    const dim3 &grid = block.grid, &size = block.size;
    block.index = {unsigned(number % grid.x), unsigned(number / grid.x % grid.y), unsigned(number / grid.x / grid.y)};
    block.live = block.threads;
    block.arrived = 0;
    waiting.clear();
    order.clear(block.threads);
    order.reseed(number);
    for (unsigned i = 0; i < block.threads; i++) {
        threads[i].index = {i % size.x, i / size.x % size.y, i / size.x / size.y};
        threads[i].linear = i;
        threads[i].exited = false;
        threads[i].group = 0;
        threads[i].copies.clear();
        order.add(i);
    }
    for (unsigned w = 0; 32 * w < block.threads; w++) {
        unsigned lanes = block.threads - 32 * w;
        warps[w].alive = lanes >= 32 ? ~0u : (1u << lanes) - 1;
        for (Meeting& meeting : warps[w].at) meeting.arrived = 0;
    }
    if (kernel->shared != kernel->shared_end) fill_with_nan(kernel->shared, kernel->shared_end);
    std::memset(dynamic, 0xff, dynamic_bytes);
    prepare_fibers(block.threads, run_thread);
    unsigned first = order.take();
    current = &threads[first];
    switch_from_host(first);
    if (!failed) check_beyond_shared();
}

#ifndef __SANITIZE_ADDRESS__
struct sigaction before[2];

/// A kernel touched memory that is not its own: the launch fails, not the process. Another's signal goes where it went.
void on_signal(int number, siginfo_t* info, void*) {
    if (running && pthread_equal(runner, pthread_self())) {
        touched = info->si_addr;
        siglongjmp(home, 1);
    }
    sigaction(number, &before[number == SIGBUS], nullptr);
}
#endif

void catch_signals() {
#ifndef __SANITIZE_ADDRESS__
    static const bool once = [] {
        struct sigaction action = {};
        action.sa_sigaction = on_signal;
        action.sa_flags = SA_SIGINFO | SA_ONSTACK;
        sigaction(SIGSEGV, &action, &before[0]);
        sigaction(SIGBUS, &action, &before[1]);
        return true;
    }();
    (void)once;
#endif
}

}  // namespace

void fault(const char* format, ...) {
    char text[2048];
    va_list list;
    va_start(list, format);
    std::vsnprintf(text, sizeof text, format, list);
    va_end(list);
    failed = true;
    message = where() + ": " + text;
    switch_to_host(current->linear);
}

void barrier(Site site) {
    if (block.arrived++ == 0) {
        block.barrier = site;
    } else if (block.barrier.line != site.line || std::strcmp(block.barrier.file, site.file)) {
        fault("threads of the block meet at different barriers: %s:%d and %s:%d", block.barrier.file, block.barrier.line,
              site.file, site.line);
    }
    if (block.arrived == block.live) finish_barrier();
    wait(site);
}

void meet(Site site, unsigned mask, void* mine, void (*complete)(void**, const void*), const void* closure) {
    unsigned bit = 1u << lane(), first = current->linear & ~31u;
    if (!(mask & bit)) fault("%s (%s:%d): lane %u is not in its own mask 0x%08x", site.operation, site.file, site.line, lane(), mask);
    Warp& warp = warps[first / 32];
    Meeting& meeting = meeting_of(warp, mask);
    if (!meeting.arrived) {
        meeting.site = site;
        meeting.mask = mask;
        meeting.complete = complete;
        meeting.closure = closure;
        std::memset(meeting.lanes, 0, sizeof meeting.lanes);
    } else if (meeting.complete != complete) {
        fault("lanes of a warp meet in different operations: %s (%s:%d) and %s (%s:%d), mask 0x%08x", meeting.site.operation,
              meeting.site.file, meeting.site.line, site.operation, site.file, site.line, mask);
    }
    meeting.lanes[lane()] = mine;
    meeting.arrived |= bit;
    if (meeting.arrived == (mask & warp.alive)) finish_meeting(meeting, first);
    wait(site);
}

void wait_until(Site site, bool (*ready)(const void* closure), const void* closure) {
    if (ready(closure)) return;
    waiting.push_back({current->linear, ready, closure});
    wait(site);
}

unsigned char* dynamic_shared() { return dynamic; }

void check_shared(const char* operation, const void* at, unsigned bytes) {
    const char* byte = static_cast<const char*>(at);
    auto inside = [&](const void* from, size_t length) {
        return byte >= from && byte + bytes <= static_cast<const char*>(from) + length;
    };
    if (!inside(dynamic, dynamic_bytes) && !inside(kernel->shared, size_t(kernel->shared_end - kernel->shared)))
        fault("%s: %u bytes at an address outside the shared memory of the block", operation, bytes);
    if (reinterpret_cast<uintptr_t>(at) % bytes) fault("%s: an address that is not a multiple of %u bytes", operation, bytes);
}

void cp_async(void* shared, const void* global, unsigned bytes, bool valid) {
    check_shared("cp.async", shared, bytes);
    // Also where nothing is read of it: the instruction demands aligned operands whatever its size.
    if (reinterpret_cast<uintptr_t>(global) % bytes)
        fault("cp.async: a global address that is not a multiple of %u bytes", bytes);
    std::memset(shared, 0xff, bytes);  // who reads it before the wait sees NaN
    current->copies.push_back({shared, global, bytes, current->group, valid});
}

void cp_async_commit() { current->group++; }

void cp_async_wait(unsigned pending) {
    std::vector<Copy>& copies = current->copies;
    size_t done = 0;
    for (; done < copies.size() && copies[done].group + pending < current->group; done++) {
        const Copy& copy = copies[done];
        if (copy.valid) std::memcpy(copy.to, copy.from, copy.bytes);
        else std::memset(copy.to, 0, copy.bytes);
    }
    copies.erase(copies.begin(), copies.begin() + long(done));
}

bool launch(const Kernel& which, dim3 grid, dim3 size, size_t shared, void** arguments, std::string& fault_text) {
    kernel = &which;
    kernel_arguments = arguments;
    failed = false;
    block.grid = grid;
    block.size = size;
    block.threads = size.x * size.y * size.z;
    dynamic_bytes = shared;
#ifdef __SANITIZE_ADDRESS__
    ASAN_UNPOISON_MEMORY_REGION(dynamic, sizeof dynamic);
    ASAN_POISON_MEMORY_REGION(dynamic + shared, sizeof dynamic - shared);
#else
    std::memset(dynamic + shared, 0xff, BEYOND);
#endif
    catch_signals();
    runner = pthread_self();
    const uint64_t blocks = uint64_t(grid.x) * grid.y * grid.z;
    if (sigsetjmp(home, 1)) {
        failed = true;
        const void* address = const_cast<const void*>(touched);
        message = where() + ": " + (is_in_stack(address) ? "its stack overflowed" : describe_address(address));
    } else {
        running = 1;
        for (uint64_t k = 0; k < blocks && !failed; k++) run_block(order.block(k, blocks));
    }
    running = 0;
    if (failed) fault_text = message;
    return !failed;
}

}  // namespace cellseg_emulated
