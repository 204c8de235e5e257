#include "cuda_emulation.h"

#include <algorithm>
#include <deque>
#include <map>
#include <memory>
#include <random>
#include <vector>

#if !defined(__x86_64__)
#include <ucontext.h>
#endif

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#define FIBER_START(save, bottom, size) __sanitizer_start_switch_fiber(save, bottom, size)
#define FIBER_FINISH(save, bottom, size) __sanitizer_finish_switch_fiber(save, bottom, size)
#define UNPOISON(p, n) __asan_unpoison_memory_region(p, n)
#else
#define FIBER_START(save, bottom, size) ((void) 0)
#define FIBER_FINISH(save, bottom, size) ((void) 0)
#define UNPOISON(p, n) ((void) 0)
#endif

#if defined(__x86_64__)
// Saves the callee's registers and the stack pointer, goes on with another stack. ucontext does
// the same with two system calls, which would be most of the tests' time.
extern "C" void steer_emulation_switch(void ** save, void * load);
asm(R"(
    .text
    .type steer_emulation_switch, @function
steer_emulation_switch:
    pushq %rbp
    pushq %rbx
    pushq %r12
    pushq %r13
    pushq %r14
    pushq %r15
    movq %rsp, (%rdi)
    movq %rsi, %rsp
    popq %r15
    popq %r14
    popq %r13
    popq %r12
    popq %rbx
    popq %rbp
    ret
    .size steer_emulation_switch, .-steer_emulation_switch
)");
#endif

namespace emulation {

Thread * current;
dim3     block_index, block_dim, grid_dim;

namespace {

// an asynchronous copy under way, of zeros unless valid
struct Copy {
    void *       to;
    const void * from;
    int          bytes;
    bool         valid;
};
// of each thread of the block: groups, the last one open
std::vector<std::deque<std::vector<Copy>>> copies;

constexpr size_t STACK = 256 << 10;
// Limits that hold from compute capability 8.0 on (8.6 and 8.9 have the least shared memory).
constexpr size_t   SHARED = 48 << 10, SHARED_OPT_IN = 99 << 10;
constexpr unsigned MAX_THREADS = 1024, MAX_GRID_X = 2147483647u, MAX_GRID_YZ = 65535;

enum class State { ready, at_barrier, at_warp, done };

// Where a stack goes on.
class Context {
  public:
#if defined(__x86_64__)
    void begin(char * stack, void (*entry)()) {
        void ** top = (void **) ((uintptr_t) (stack + STACK) & ~(uintptr_t) 15);
        *--top      = nullptr; // entry never returns
        *--top      = (void *) entry;
        for (int i = 0; i < 6; i++) {
            *--top = nullptr;
        }
        pointer_ = top;
    }
    void leave_for(Context & other) { steer_emulation_switch(&pointer_, other.pointer_); }

  private:
    void * pointer_ = nullptr;
#else
    void begin(char * stack, void (*entry)()) {
        getcontext(&context_);
        context_.uc_stack.ss_sp   = stack;
        context_.uc_stack.ss_size = STACK;
        context_.uc_link          = nullptr;
        makecontext(&context_, entry, 0);
    }
    void leave_for(Context & other) { swapcontext(&context_, &other.context_); }

  private:
    ucontext_t context_;
#endif
};

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
                    fail("lanes of a warp meet in warp functions of different lines, " + std::to_string(line) + " and " +
                         std::to_string(f.line));
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
                    fail("threads wait at different barriers, lines " + std::to_string(line) + " and " + std::to_string(f.line));
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
    if (grid.x == 0 || grid.y == 0 || grid.z == 0 || grid.x > MAX_GRID_X || grid.y > MAX_GRID_YZ || grid.z > MAX_GRID_YZ) {
        fail("grid " + std::to_string(grid.x) + "," + std::to_string(grid.y) + "," + std::to_string(grid.z) + " is beyond the limits");
    }
    const auto   it    = shared_allowed.find(kernel);
    const size_t limit = std::max(SHARED, it == shared_allowed.end() ? 0 : it->second);
    if (bytes > limit || bytes > SHARED_OPT_IN) {
        fail(std::to_string(bytes) + " bytes of shared memory, allowed " + std::to_string(std::min(limit, SHARED_OPT_IN)));
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
                    copies.clear();
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

// ---------------------------------------------------------------------------------

namespace {

std::deque<std::vector<Copy>> & copies_of_thread() {
    const size_t i = (size_t) current->linear;
    if (copies.size() <= i) {
        copies.resize(i + 1);
    }
    if (copies[i].empty()) {
        copies[i].emplace_back();
    }
    return copies[i];
}

} // namespace

void copy_async(void * to, const void * from, int bytes, bool valid) {
    copies_of_thread().back().push_back({ to, from, bytes, valid });
}

void copy_commit() {
    copies_of_thread().emplace_back();
}

void copy_wait(int groups) {
    auto & all = copies_of_thread();
    while ((int) all.size() - 1 > groups) {
        for (const Copy & c : all.front()) {
            if (c.valid) {
                std::memcpy(c.to, c.from, (size_t) c.bytes);
            } else {
                std::memset(c.to, 0, (size_t) c.bytes);
            }
        }
        all.pop_front();
    }
}

// ---------------------------------------------------------------------------------

float bf16_to_float(uint16_t x) {
    const uint32_t u = (uint32_t) x << 16;
    float          f;
    std::memcpy(&f, &u, 4);
    return f;
}

uint16_t float_to_bf16(float x) {
    uint32_t u;
    std::memcpy(&u, &x, 4);
    if ((u & 0x7FFFFFFF) > 0x7F800000) {
        return 0x7FFF; // cvt gives the canonical NaN
    }
    return (uint16_t) ((u + 0x7FFF + (u >> 16 & 1)) >> 16);
}

float half_to_float(uint16_t x) {
    const int   exponent = x >> 10 & 31, mantissa = x & 1023;
    const float magnitude = exponent == 31 ? (mantissa ? NAN : INFINITY)
                            : exponent == 0 ? std::ldexp((float) mantissa, -24)
                                            : std::ldexp((float) (mantissa + 1024), exponent - 25);
    return x & 0x8000 ? -magnitude : magnitude;
}

void mma_m16n8k16(float c[4], const uint32_t a[4], const uint32_t b[2], int line) {
    struct In {
        uint32_t a[4], b[2];
    } in;
    std::memcpy(in.a, a, sizeof in.a);
    std::memcpy(in.b, b, sizeof in.b);
    std::memcpy(deposit(line), &in, sizeof in);
    wait();
    const int row = lane() / 4, col = lane() % 4 * 2;
    for (int i = 0; i < 4; i++) { // c0, c1: (row, col + {0,1}); c2, c3: (row + 8, col + {0,1})
        const int r = row + (i / 2) * 8, n = col + i % 2;
        float     sum = 0;
        for (int k = 0; k < 16; k++) {
            // A: register = (r >= 8) + 2 (k >= 8), lane = 4 (r % 8) + (k % 8) / 2; B: register = k >= 8, lane = 4 n + (k % 8) / 2
            const In *     pa = (const In *) deposited(r % 8 * 4 + k % 8 / 2);
            const In *     pb = (const In *) deposited(n * 4 + k % 8 / 2);
            const uint32_t wa = pa->a[(r >= 8) + 2 * (k >= 8)], wb = pb->b[k >= 8];
            sum += bf16_to_float((uint16_t) (wa >> 16 * (k & 1))) * bf16_to_float((uint16_t) (wb >> 16 * (k & 1)));
        }
        c[i] += sum;
    }
}

void ldmatrix_x4(uint32_t r[4], const void * row, bool trans, int line) {
    if ((uintptr_t) row % 16 != 0) {
        fault = "ldmatrix: a row that is not aligned to 16 bytes";
        to_scheduler();
    }
    std::memcpy(deposit(line), &row, sizeof row);
    wait();
    const auto item = [&](int matrix, int y, int x) {
        const uint16_t * p;
        std::memcpy(&p, deposited(matrix * 8 + y), sizeof p);
        return (uint32_t) p[x];
    };
    const int y = lane() / 4, x = lane() % 4 * 2;
    for (int i = 0; i < 4; i++) { // lane holds (y, x) and (y, x+1), of the transposed matrix if trans
        r[i] = trans ? item(i, x, y) | item(i, x + 1, y) << 16 : item(i, y, x) | item(i, y, x + 1) << 16;
    }
}

} // namespace emulation
