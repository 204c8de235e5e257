// cuda_emulation.cpp: the scheduler: blocks, warps and lanes one after the other, and where they wait.
#include "cuda_emulation.h"

#include "fiber.h"
#include "scheduler.h"

#include <algorithm>
#include <map>
#include <memory>
#include <random>
#include <vector>

namespace emulation {

Thread * current;
dim3     block_index, block_dim, grid_dim;

namespace {

// Limits that hold from compute capability 8.0 on (8.6 and 8.9 have the least shared memory).
constexpr size_t   SHARED = 48 << 10, SHARED_OPT_IN = 99 << 10;
constexpr unsigned MAX_THREADS = 1024, MAX_GRID_X = 2147483647u, MAX_GRID_YZ = 65535;

enum class State { ready, at_barrier, at_warp, done };

struct Fiber : Thread {
    Context                 context;
    std::unique_ptr<char[]> stack;
    void *                  fake_stack = nullptr;
    State                   state;
    int                     line; // where it waits
    unsigned                turn; // which of two slots
    alignas(16) unsigned char slot[2][SLOT_BYTES];
};

std::vector<std::unique_ptr<Fiber>> fibers;
Context                             scheduler;
const void *                        scheduler_stack;
size_t                              scheduler_stack_size;
void *                              scheduler_fake_stack;
const std::function<void()> *       body;
const char *                        kernel_name;
unsigned char *                     shared;
Schedule                            schedule = Schedule::forward;
std::mt19937                        rng;
std::map<const void *, size_t>      shared_allowed;
std::string                         fault; // set inside a fiber, thrown outside

[[noreturn]] void fail(const std::string & what) {
    throw Failure(std::string(kernel_name) + ": " + what + " (block " + std::to_string(block_index.x) + "," +
                  std::to_string(block_index.y) + "," + std::to_string(block_index.z) + ")");
}

Fiber * self() { return static_cast<Fiber *>(current); }

void to_scheduler() {
    Fiber * f = self();
    FIBER_START(&f->fake_stack, scheduler_stack, scheduler_stack_size);
    f->context.leave_for(scheduler);
    FIBER_FINISH(f->fake_stack, nullptr, nullptr);
}

// A fiber lives for the whole test: one body after the other.
void fiber_main() {
    FIBER_FINISH(nullptr, &scheduler_stack, &scheduler_stack_size);
    for (;;) {
        (*body)();
        self()->state = State::done;
        to_scheduler();
    }
}

void resume(Fiber & f) {
    current = &f;
    FIBER_START(&scheduler_fake_stack, f.stack.get(), STACK);
    scheduler.leave_for(f.context);
    FIBER_FINISH(scheduler_fake_stack, nullptr, nullptr);
    if (!fault.empty()) {
        const std::string what = fault;
        fault.clear();
        fail(what);
    }
}

void make_fiber(Fiber & f) {
    if (!f.stack) {
        f.stack.reset(new char[STACK]);
    }
    UNPOISON(f.stack.get(), STACK);
    f.fake_stack = nullptr;
    f.context.begin(f.stack.get(), fiber_main);
}

void order(std::vector<int> & v) {
    if (schedule == Schedule::reverse) {
        std::reverse(v.begin(), v.end());
    } else if (schedule == Schedule::random) {
        std::shuffle(v.begin(), v.end(), rng);
    }
}

std::vector<int> ordered(int n) {
    std::vector<int> v(n);
    for (int i = 0; i < n; i++) {
        v[i] = i;
    }
    order(v);
    return v;
}

// Runs one warp until all its threads wait at a block barrier or have returned.
void run_warp(int warp) {
    const std::vector<int> lanes = ordered(32);
    for (;;) {
        int count[4] = {}, line = -1;
        for (int l : lanes) {
            Fiber & f = *fibers[warp * 32 + l];
            if (f.state == State::ready) {
                resume(f);
            }
        }
        for (int l = 0; l < 32; l++) {
            const Fiber & f = *fibers[warp * 32 + l];
            count[(int) f.state]++;
            if (f.state == State::at_warp) {
                if (line >= 0 && line != f.line) {
                    fail("lanes of a warp meet in warp functions of different lines, " + std::to_string(line) +
                         " and " + std::to_string(f.line));
                }
                line = f.line;
            }
        }
        if (count[(int) State::at_warp] == 0) {
            return;
        }
        if (count[(int) State::at_warp] != 32) {
            fail("a part of the warp only reaches the warp function of line " + std::to_string(line));
        }
        for (int l = 0; l < 32; l++) {
            fibers[warp * 32 + l]->state = State::ready;
        }
    }
}

void run_block(int n) {
    for (int i = 0; i < n; i++) {
        Fiber & f = *fibers[i];
        f.linear  = i;
        f.index   = dim3(i % block_dim.x, i / block_dim.x % block_dim.y, i / (block_dim.x * block_dim.y));
        f.state   = State::ready;
        f.turn    = 0;
    }
    for (;;) {
        for (int w : ordered(n / 32)) {
            run_warp(w);
        }
        int done = 0, line = -1;
        for (int i = 0; i < n; i++) {
            const Fiber & f = *fibers[i];
            done += f.state == State::done;
            if (f.state == State::at_barrier) {
                if (line >= 0 && line != f.line) {
                    fail("threads wait at different barriers, lines " + std::to_string(line) + " and " +
                         std::to_string(f.line));
                }
                line = f.line;
            }
        }
        if (done == n) {
            return;
        }
        if (done > 0) {
            fail("barrier of line " + std::to_string(line) + " after some threads have returned");
        }
        for (int i = 0; i < n; i++) {
            fibers[i]->state = State::ready;
        }
    }
}

void check_limits(const void * kernel, dim3 grid, dim3 block, size_t bytes) {
    const unsigned n = block.x * block.y * block.z;
    if (n == 0 || n > MAX_THREADS || n % 32 != 0) {
        fail(std::to_string(n) + " threads a block: want whole warps, at most 1024 threads");
    }
    if (grid.x == 0 || grid.y == 0 || grid.z == 0 || grid.x > MAX_GRID_X || grid.y > MAX_GRID_YZ ||
        grid.z > MAX_GRID_YZ) {
        fail("grid " + std::to_string(grid.x) + "," + std::to_string(grid.y) + "," + std::to_string(grid.z) +
             " is beyond the limits");
    }
    const auto   it    = shared_allowed.find(kernel);
    const size_t limit = std::max(SHARED, it == shared_allowed.end() ? 0 : it->second);
    if (bytes > limit || bytes > SHARED_OPT_IN) {
        fail(std::to_string(bytes) + " bytes of shared memory, allowed " +
             std::to_string(std::min(limit, SHARED_OPT_IN)));
    }
}

} // namespace

void set_schedule(Schedule s, unsigned seed) {
    schedule = s;
    rng.seed(seed);
}

void allow_shared(const void * kernel, size_t bytes) { shared_allowed[kernel] = bytes; }

void * dynamic_shared() { return shared; }

void launch(const char * name, const void * kernel, dim3 grid, dim3 block, size_t bytes,
            const std::function<void()> & thread) {
    kernel_name = name;
    block_index = dim3(0, 0, 0);
    check_limits(kernel, grid, block, bytes);
    grid_dim    = grid;
    block_dim   = block;
    body        = &thread;
    const int n = (int) (block.x * block.y * block.z);
    while ((int) fibers.size() < n) {
        fibers.push_back(std::make_unique<Fiber>());
        make_fiber(*fibers.back());
    }
    std::unique_ptr<unsigned char[]> memory(new unsigned char[bytes]); // aligned to 16 bytes
    shared = memory.get();
    try {
        for (int z : ordered((int) grid.z)) {
            for (int y : ordered((int) grid.y)) {
                for (int x : ordered((int) grid.x)) {
                    block_index = dim3(x, y, z);
                    forget_copies();
                    std::memset(shared, 0xFF, bytes); // NaN
                    run_block(n);
                }
            }
        }
    } catch (...) {
        for (auto & fiber : fibers) { // they hang in the middle of the kernel
            make_fiber(*fiber);
        }
        throw;
    }
}

void barrier(int line) {
    self()->state = State::at_barrier;
    self()->line  = line;
    to_scheduler();
}

void refuse(const char * what) {
    fault = what;
    to_scheduler();
}

void * deposit(int line) {
    Fiber * f = self();
    f->line   = line;
    return f->slot[++f->turn & 1];
}

void wait() {
    self()->state = State::at_warp;
    to_scheduler();
}

const void * deposited(int lane) {
    const Fiber * f = self();
    return fibers[(f->linear & ~31) + lane]->slot[f->turn & 1];
}

} // namespace emulation
