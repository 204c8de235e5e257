// fiber.h: stacks to switch between, for cuda_emulation.cpp.
#pragma once

#include <cstddef>
#include <cstdint>

#if !defined(__x86_64__)
#include <ucontext.h>
#endif

// ASan has to know which stack is in use.
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
#endif

namespace emulation {

constexpr size_t STACK = 256 << 10;

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

} // namespace emulation
