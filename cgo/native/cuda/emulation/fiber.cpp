// fiber.cpp: the switch between two stacks on x86-64.
#include "fiber.h"

#if defined(__x86_64__)
asm(R"(
    .text
    .globl steer_emulation_switch
    .hidden steer_emulation_switch
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
