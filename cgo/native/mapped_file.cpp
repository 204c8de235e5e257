#include "mapped_file.h"

#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstring>

#include <atomic>
#include <mutex>

#include <unistd.h>

namespace steer {

namespace {

// A signal handler may use neither memory nor locks: the sentences are written beforehand.
struct watched {
    std::atomic<bool>      used{ false };
    std::atomic<uintptr_t> begin{ 0 }, end{ 0 };
    char                   text[1024] = "";
};

constexpr int MOST_FILES = 16;
watched       files[MOST_FILES];

struct sigaction before;

void on_bus_error(int signal, siginfo_t * info, void * context) {
    const uintptr_t at = (uintptr_t) info->si_addr;
    for (const watched & f : files) {
        if (f.used.load() && f.begin.load() <= at && at < f.end.load()) {
            const ssize_t written = write(STDERR_FILENO, f.text, strlen(f.text));
            (void) written;
            _exit(1);
        }
    }
    if (before.sa_flags & SA_SIGINFO) {
        before.sa_sigaction(signal, info, context);
    } else if (before.sa_handler != SIG_DFL && before.sa_handler != SIG_IGN) {
        before.sa_handler(signal);
    } else { // as if we had not been there: the access is repeated
        sigaction(SIGBUS, &before, nullptr);
    }
}

void install() {
    struct sigaction ours = {};
    ours.sa_sigaction     = on_bus_error;
    ours.sa_flags         = SA_SIGINFO | SA_ONSTACK | SA_RESTART; // as Go asks of handlers beside its own
    sigfillset(&ours.sa_mask);
    sigaction(SIGBUS, &ours, &before);
}

} // namespace

mapped_file::mapped_file(const char * path) : slot_(-1) {
    static std::once_flag once;
    std::call_once(once, install);
    for (int i = 0; i < MOST_FILES; i++) {
        bool free = false;
        if (files[i].used.compare_exchange_strong(free, true)) {
            snprintf(files[i].text, sizeof(files[i].text),
                     "\nsteer: the model file %s cannot be read any more: an input/output error, or it was cut off "
                     "while in use. What was checkpointed is intact; once the file is whole again, the same command "
                     "goes on from there.\n",
                     path);
            slot_ = i;
            covers(nullptr, (const void *) UINTPTR_MAX);
            return;
        }
    }
}

void mapped_file::covers(const void * begin, const void * end) {
    if (slot_ >= 0) {
        files[slot_].begin.store((uintptr_t) begin);
        files[slot_].end.store((uintptr_t) end);
    }
}

mapped_file::~mapped_file() {
    if (slot_ >= 0) {
        files[slot_].end.store(0);
        files[slot_].used.store(false);
    }
}

} // namespace steer
