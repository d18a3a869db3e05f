// Queues of work. Nothing runs before somebody waits for it: what a program may not rely on (a copy that has arrived, a
// kernel that has ended) is then not the case.
#pragma once
#include <chrono>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <thread>

namespace cellseg_emulated {

struct Stream;

/// A point of a stream: all before it has run when it is done.
struct Mark {
    Stream* stream = nullptr;
    bool done = true;
    std::chrono::steady_clock::time_point at{};
};
using Event = std::shared_ptr<Mark>;  // a new mark each time that the event is recorded

struct Work {
    std::thread::id from;
    std::function<bool(std::string& fault)> run;
};

struct Stream {
    int device = 0;
    bool waits_for_default = false;
    std::deque<Work> work;
};

/// The default stream of a device.
Stream* default_stream(int device);
Stream* new_stream(int device, bool waits_for_default);
void delete_stream(Stream* stream);

/// Adds work at the end; where the queue is long, its oldest runs.
void push(Stream* stream, std::function<bool(std::string& fault)> run);
void record(Event& event, Stream* stream);
/// What is pushed to the stream from now on runs after the event's last record.
void wait_for(Stream* stream, const Event& event);
void run_all(Stream* stream);
void run_all(int device);
void run_until(const Event& event);

/// The oldest fault of work that this operating-system thread queued and did not hear of yet; empty for none.
std::string take_fault();

}  // namespace cellseg_emulated
