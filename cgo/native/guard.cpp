// guard.cpp: what belongs to the process and to no device: the count of living objects, kept failures, and the log
// of ggml and libllama.
#include "native.h"

#include <atomic>
#include <deque>
#include <mutex>

namespace steer {

static std::atomic<int64_t> alive_count{ 0 };
alive::alive() { alive_count++; }
alive::~alive() { alive_count--; }

namespace {
// ggml and libllama log through one process-wide callback, so their messages are kept in one
// bounded list, guarded because libllama's loader may log from other threads.
std::mutex              log_mutex;
std::deque<std::string> log_lines;
ggml_log_level          log_level = GGML_LOG_LEVEL_NONE;
} // namespace

static thread_local const std::function<void(const char *)> * watching = nullptr;

log_watch::log_watch(std::function<void(const char *)> f) : see(std::move(f)) { watching = &see; }
log_watch::~log_watch() { watching = nullptr; }

void keep_log(ggml_log_level level, const char * text, void *) {
    if (watching) {
        (*watching)(text);
    }
    try { // ggml, which is C, calls this
        std::lock_guard<std::mutex> lock(log_mutex);
        if (level == GGML_LOG_LEVEL_CONT) {
            level = log_level;
        }
        log_level = level;
        if (level != GGML_LOG_LEVEL_WARN && level != GGML_LOG_LEVEL_ERROR) {
            return;
        }
        log_lines.emplace_back(text);
        if (log_lines.size() > 32) {
            log_lines.pop_front();
        }
    } catch (...) { // no memory for a message: what it warns of is reported by whoever meets it
    }
}

std::string take_log() {
    std::lock_guard<std::mutex> lock(log_mutex);
    std::string all;
    for (const auto & line : log_lines) {
        all += line;
    }
    log_lines.clear();
    while (!all.empty() && all.back() == '\n') {
        all.pop_back();
    }
    return all;
}

} // namespace steer

int64_t steer_alive(void) { return steer::alive_count.load(); }

namespace steer {
namespace {
struct fault {
    int  code       = STEER_OK;
    char what[1024] = ""; // no memory is needed to keep it
};
thread_local fault kept_fault; // of this thread: a device has one engine thread
} // namespace

void keep_fault(int code, const char * what) {
    if (kept_fault.code == STEER_OK) {
        kept_fault.code = code;
        set_error(kept_fault.what, sizeof(kept_fault.what), what);
    }
}
} // namespace steer

int steer_take_fault(char * err, size_t err_len) {
    const int code = steer::kept_fault.code;
    steer::set_error(err, err_len, code == STEER_OK ? "" : steer::kept_fault.what);
    steer::kept_fault.code = STEER_OK;
    return code;
}
