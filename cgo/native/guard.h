// guard.h: the one place where C++ exceptions become error codes and messages. None may cross
// steer.h: every function there goes through one of these, or is listed with the reason why it
// cannot throw in cgo/guard_test.go, which reads the sources.
#pragma once

#include "steer.h"

#include <cstdio>
#include <cstring>
#include <exception>
#include <new>
#include <stdexcept>
#include <string>

namespace steer {

// An error that is not a plain failure carries its code.
struct coded_error : std::runtime_error {
    int code;
    coded_error(int code, const std::string & what) : std::runtime_error(what), code(code) {}
};

inline void set_error(char * err, size_t len, const char * what) {
    if (err && len > 0) {
        snprintf(err, len, "%s", what);
    }
}

template <typename F> int guard(char * err, size_t len, F && body) {
    try {
        body();
        return STEER_OK;
    } catch (const coded_error & e) {
        set_error(err, len, e.what());
        return e.code;
    } catch (const std::bad_alloc &) {
        set_error(err, len, "out of memory");
        return STEER_NO_MEMORY;
    } catch (const std::exception & e) {
        set_error(err, len, e.what());
        return strstr(e.what(), "CUDA error: out of memory") ? STEER_NO_MEMORY : STEER_ERROR; // from inside ggml-cuda
    } catch (...) {
        set_error(err, len, "unknown C++ exception");
        return STEER_ERROR;
    }
}

// Keeps a failure for steer_take_fault.
void keep_fault(int code, const char * what);

// For functions that return no code.
template <typename F> void guard_quiet(F && body) {
    char err[1024] = "";
    if (int code = guard(err, sizeof(err), body)) {
        keep_fault(code, err);
    }
}

// For functions that return a value: `otherwise` if the body fails.
template <typename T, typename F> T guard_value(T otherwise, F && body) {
    guard_quiet([&] { otherwise = body(); });
    return otherwise;
}

// The same where the value says that it failed: nothing is kept. For functions that any thread may call,
// whose failure the next call of another owner on that thread would be blamed for.
template <typename T, typename F> T guard_lone(T otherwise, F && body) {
    guard(nullptr, 0, [&] { otherwise = body(); });
    return otherwise;
}

// Counts native objects; a member of each of them.
struct alive {
    alive();
    ~alive();
    alive(const alive &)             = delete;
    alive & operator=(const alive &) = delete;
};

// What ggml and libllama logged since the last call (errors and warnings).
std::string take_log();

} // namespace steer
