#include "streams.h"

#include <cstdio>
#include <cstdlib>
#include <list>
#include <map>

#include <unistd.h>

namespace cellseg_emulated {
namespace {

constexpr size_t LONGEST = 256;

std::list<Stream>& streams() {
    static auto* all = new std::list<Stream>;  // outlives whatever still calls at the end of the process
    return *all;
}

std::multimap<std::thread::id, std::string>& faults() {
    // A fault that nobody waited for must not look like success.
    static auto* all = [] {
        std::atexit([] {
            if (faults().empty()) return;
            std::fputs("emulated device: the process ends with faults that it never asked for\n", stderr);
            _exit(101);
        });
        return new std::multimap<std::thread::id, std::string>;
    }();
    return *all;
}

void run_oldest(Stream* stream) {
    Work work = std::move(stream->work.front());
    stream->work.pop_front();
    std::string fault;
    if (work.run(fault)) return;
    std::fprintf(stderr, "emulated device: %s\n", fault.c_str());
    faults().emplace(work.from, fault);
}

}  // namespace

Stream* new_stream(int device, bool waits_for_default) {
    streams().push_back(Stream{device, waits_for_default, {}});
    return &streams().back();
}

Stream* default_stream(int device) {
    static auto* all = new std::map<int, Stream*>;
    Stream*& stream = (*all)[device];
    if (!stream) stream = new_stream(device, false);
    return stream;
}

void delete_stream(Stream* stream) {
    run_all(stream);
    streams().remove_if([=](const Stream& other) { return &other == stream; });
}

void push(Stream* stream, std::function<bool(std::string& fault)> run) {
    // The default stream waits for all streams that do not opt out, and they for it.
    if (stream->waits_for_default) run_all(default_stream(stream->device));
    if (stream == default_stream(stream->device))
        for (Stream& other : streams())
            if (other.waits_for_default && other.device == stream->device) run_all(&other);
    stream->work.push_back({std::this_thread::get_id(), std::move(run)});
    while (stream->work.size() > LONGEST) run_oldest(stream);
}

void record(Event& event, Stream* stream) {
    event = std::make_shared<Mark>();
    event->stream = stream;
    event->done = false;
    push(stream, [mark = event](std::string&) {
        mark->done = true;
        mark->at = std::chrono::steady_clock::now();
        return true;
    });
}

void wait_for(Stream* stream, const Event& event) {
    push(stream, [mark = event](std::string&) {
        run_until(mark);
        return true;
    });
}

void run_all(Stream* stream) {
    while (!stream->work.empty()) run_oldest(stream);
}

void run_all(int device) {
    for (Stream& stream : streams())
        if (stream.device == device) run_all(&stream);
}

void run_until(const Event& event) {
    const Event kept = event;
    while (!kept->done) run_oldest(kept->stream);
}

std::string take_fault() {
    auto mine = faults().find(std::this_thread::get_id());
    if (mine == faults().end()) return {};
    std::string text = std::move(mine->second);
    faults().erase(mine);
    return text;
}

}  // namespace cellseg_emulated
