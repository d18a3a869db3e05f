// The threads of the block that runs: one fiber each, and the places where they meet.
//
// One block runs at a time, on the operating-system thread that launched it or waits for it. A CUDA thread runs until it
// meets others (a barrier, a warp's exchange); then it waits there and `Order` says which thread is next. Nothing else
// switches, so a run is the same every time for one order.
#pragma once
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

struct uint3 {
    unsigned x, y, z;
};
struct dim3 {
    unsigned x, y, z;
    constexpr dim3(unsigned x = 1, unsigned y = 1, unsigned z = 1) : x(x), y(y), z(z) {}
};

namespace cellseg_emulated {

/// Where in a kernel's text a thread is.
struct Site {
    const char* operation;
    const char* file;
    int line;
};

/// A copy by `cp.async` that was started and not waited for.
struct Copy {
    void* to;
    const void* from;
    unsigned bytes, group;
    bool valid;
};

struct Thread {
    uint3 index;
    unsigned linear;
    bool exited;
    Site waits_at;
    unsigned group;  // of the copies started from now on
    std::vector<Copy> copies;
};

/// Threads that wait for each other: the lanes of a warp that one mask names, or all threads of the block.
struct Meeting {
    Site site;
    unsigned mask, arrived;
    void (*complete)(void** lanes, const void* closure);
    const void* closure;
    void* lanes[32];
};

struct Warp {
    unsigned alive;
    Meeting at[32];  // one for each mask that lanes wait with; free where nobody has arrived
};

struct Block {
    uint3 index;
    dim3 size, grid;
    unsigned threads, live, arrived;
    Site barrier;
};

extern Block block;
extern Thread* current;

/// Ends the launch; the message, with the kernel, block and thread, becomes its fault.
[[noreturn, gnu::format(printf, 1, 2)]] void fault(const char* format, ...);

void barrier(Site site);
/// Waits until all lanes of `mask` that have not exited are here; then `complete` runs once over what each of them brought
/// (null for a lane that is not here).
void meet(Site site, unsigned mask, void* mine, void (*complete)(void**, const void*), const void* closure);

void wait_until(Site site, bool (*ready)(const void* closure), const void* closure);
/// Waits until `ready()`, whatever other threads do meanwhile; a fault where all threads wait and none is ready.
template <class Ready> void wait_until(Site site, const Ready& ready) {
    wait_until(site, [](const void* closure) { return bool((*static_cast<const Ready*>(closure))()); }, &ready);
}

inline unsigned lane() { return current->linear % 32; }

/// `whole` runs once for the lanes of `mask`, over a pointer to each lane's `mine`.
template <class Slot, class Whole> void meet(Site site, unsigned mask, Slot& mine, const Whole& whole) {
    meet(site, mask, &mine, [](void** lanes, const void* closure) {
        Slot* slots[32];
        for (int l = 0; l < 32; l++) slots[l] = static_cast<Slot*>(lanes[l]);
        (*static_cast<const Whole*>(closure))(slots);
    }, &whole);
}

/// `whole` runs once over all 32 lanes, as a matrix instruction does; a fault where some of them have exited.
template <class Slot, class Whole>
void whole_warp(const char* operation, Slot& mine, const Whole& whole, const char* file = __builtin_FILE(),
                int line = __builtin_LINE()) {
    meet(Site{operation, file, line}, ~0u, mine, [&](Slot* (&lanes)[32]) {
        for (Slot* slot : lanes)
            if (!slot) fault("%s needs all 32 lanes of the warp, and some have ended", operation);
        whole(lanes);
    });
}

unsigned char* dynamic_shared();
/// A fault unless these bytes are shared memory of the block, aligned to their number.
void check_shared(const char* operation, const void* at, unsigned bytes);
void cp_async(void* shared, const void* global, unsigned bytes, bool valid);
void cp_async_commit();
void cp_async_wait(unsigned pending);

/// A kernel as it was built, and what a launch of it needs.
struct Kernel {
    const char* source;     // as the Rust side names it: the path below `src/`
    const char* defines;    // "A=1 B=f32", sorted
    const char* targets;    // "sm_80 sm_90a"
    uint64_t text_hash;     // of the `.cu` file
    size_t text_length;
    const char* name;
    void (*run)(void** arguments);
    const unsigned *sizes, *is_pointer;
    unsigned arguments;
    unsigned most_threads;  // of its BOUNDS; 1024 where it has none
    unsigned static_shared;  // bytes: what its budget says, and no more than its unit has
    char *shared, *shared_end;  // the static shared memory of its unit
    bool there;  // not where the instance leaves it out
    const Kernel* next;
};
extern const Kernel* kernels;
struct Registered {
    explicit Registered(Kernel& kernel);
};

/// Runs all blocks; false after a fault, whose text goes to `fault_text`. One launch at a time.
bool launch(const Kernel& kernel, dim3 grid, dim3 size, size_t shared, void** arguments, std::string& fault_text);
/// What the driver knows of an address that a kernel may not touch.
std::string describe_address(const void* at);

}  // namespace cellseg_emulated
