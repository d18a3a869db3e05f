// Which thread of a block runs next. A missing barrier is right by luck in one order and wrong in another.
#pragma once
#include <cstdint>
#include <vector>

namespace cellseg_emulated {

/// The threads that could run. `CELLSEG_EMULATED_ORDER` says which is taken:
///   forward      the one that waits longest, so that all go through the kernel abreast, 0 first (the default);
///   reverse      the highest, so that each goes as far as it can before the next begins;
///   random:SEED  any.
class Order {
public:
    /// The order that the environment names; a fault of the process where it names none of them.
    static Order from_environment();

    /// Forgets all threads.
    void clear(unsigned threads);
    void add(unsigned thread);
    bool empty() const { return count == 0; }
    unsigned take();
    /// In which order the `count` blocks of a grid run: the `k`th to run.
    uint64_t block(uint64_t k, uint64_t count) const;
    /// The random sequence of this block: the same at each run of the program, whatever ran before.
    void reseed(uint64_t block);

private:
    enum class Kind { Forward, Reverse, Random } kind = Kind::Forward;
    uint64_t seed = 0, state = 0;
    unsigned count = 0, head = 0;
    std::vector<unsigned> queue;     // forward: a ring; random: the first `count`
    std::vector<uint64_t> ready;     // reverse: one bit a thread
    uint64_t next_random();
};

}  // namespace cellseg_emulated
