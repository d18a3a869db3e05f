#include "order.h"

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <numeric>

namespace cellseg_emulated {

Order Order::from_environment() {
    Order order;
    const char* name = std::getenv("CELLSEG_EMULATED_ORDER");
    char* end = nullptr;
    if (!name || !*name || !std::strcmp(name, "forward")) {
        order.kind = Kind::Forward;
    } else if (!std::strcmp(name, "reverse")) {
        order.kind = Kind::Reverse;
    } else if (!std::strncmp(name, "random:", 7) && (order.seed = std::strtoull(name + 7, &end, 10), end != name + 7 && !*end)) {
        order.kind = Kind::Random;
    } else {
        std::fprintf(stderr, "emulated device: CELLSEG_EMULATED_ORDER=%s is none of forward, reverse, random:SEED\n", name);
        std::exit(2);
    }
    return order;
}

void Order::clear(unsigned threads) {
    count = head = 0;
    queue.resize(threads);
    ready.assign((threads + 63) / 64, 0);
}

void Order::add(unsigned thread) {
    if (kind == Kind::Reverse) {
        ready[thread / 64] |= uint64_t(1) << thread % 64;
    } else {
        unsigned at = head + count;  // `head` stays 0 where the order is random
        queue[at < queue.size() ? at : at - queue.size()] = thread;
    }
    count++;
}

unsigned Order::take() {
    count--;
    switch (kind) {
    case Kind::Forward: {
        unsigned thread = queue[head];
        if (++head == queue.size()) head = 0;
        return thread;
    }
    case Kind::Reverse: {
        size_t word = ready.size() - 1;
        while (!ready[word]) word--;
        unsigned bit = 63 - unsigned(__builtin_clzll(ready[word]));
        ready[word] &= ~(uint64_t(1) << bit);
        return unsigned(64 * word) + bit;
    }
    case Kind::Random: {
        unsigned at = unsigned(next_random() % (count + 1)), thread = queue[at];
        queue[at] = queue[count];
        return thread;
    }
    }
    __builtin_unreachable();
}

uint64_t Order::block(uint64_t k, uint64_t blocks) const {
    if (kind == Kind::Forward) return k;
    if (kind == Kind::Reverse) return blocks - 1 - k;
    // Steps that share no divisor with the count reach every block once.
    uint64_t step = (seed * 2 + 1) * 0x9E3779B97F4A7C15u % blocks;
    while (std::gcd(step, blocks) != 1) step++;
    return uint64_t((static_cast<unsigned __int128>(k) * step + seed) % blocks);
}

void Order::reseed(uint64_t block) { state = (seed + 1) * 0x9E3779B97F4A7C15u ^ block << 32; }

uint64_t Order::next_random() {  // splitmix64
    uint64_t z = state += 0x9E3779B97F4A7C15u;
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9u;
    z = (z ^ z >> 27) * 0x94D049BB133111EBu;
    return z ^ z >> 31;
}

}  // namespace cellseg_emulated
