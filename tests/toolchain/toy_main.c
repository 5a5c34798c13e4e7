/* The toy's firmware: its memory, and functions that do what firmware must not. */
#include <stddef.h>
#include <stdint.h>

float toy_memory[64];
static uint32_t (*volatile pointer)(void);

uint32_t toy_steps(void);
uint32_t every_push(void);
uint32_t far_jump(void);
uint32_t conditional_return(const uint32_t *word);
int main(void);
void write_to(uint32_t address);
uint32_t read_from(uint32_t address);
void jump_to(uint32_t address);
uint32_t recurse(uint32_t depth);
uint32_t through_pointer(void);
uint32_t large_frame(uint32_t seed);
void undefined_instruction(void);
void reach_fault_handler(void);
void mg_fault(void);

void write_to(uint32_t address) {
    *(volatile uint32_t *)address = 1u;
}

uint32_t read_from(uint32_t address) {
    return *(volatile uint32_t *)address;
}

void jump_to(uint32_t address) {
    ((void (*)(void))address)();
}

__attribute__((noinline)) uint32_t recurse(uint32_t depth) {
    volatile uint32_t kept[16];
    kept[depth % 16u] = depth;
    return depth == 0u ? 0u : recurse(depth - 1u) + kept[depth % 16u];
}

uint32_t through_pointer(void) {
    return pointer() + 1u;
}

uint32_t large_frame(uint32_t seed) {
    volatile uint32_t kept[300];
    uint32_t i;
    for (i = 0; i < 300u; i++) {
        kept[i] = seed * i;
    }
    return kept[seed % 300u];
}

void undefined_instruction(void) {
    __asm__ volatile("udf #0");
}

void reach_fault_handler(void) {
    mg_fault();
}

/* Every way in which a compiler may move the stack pointer, and a branch over a return. */
__attribute__((naked)) uint32_t every_push(void) {
    __asm__ volatile(
        "push {r4, lr}\n"
        "sub sp, #32\n"
        "movs r0, #1\n"
        "cmp r0, #1\n"
        "beq 1f\n"
        "add sp, #32\n"
        "pop {r4, pc}\n"
        "1:\n"
#if defined(__thumb2__)
        "str r4, [sp, #-8]!\n"
        "strd r4, r5, [sp, #-16]!\n"
        "stmdb sp!, {r4, r5, r6, r7, r8, r9}\n"
        "subw sp, sp, #16\n"
        "str r4, [sp]\n"
        "addw sp, sp, #16\n"
#if defined(__ARM_FP)
        "vpush {d8, d9}\n"
        "vpush {s16, s17, s18}\n"
        "vstmdb sp!, {s16}\n"
        "vldmia sp!, {s16}\n"
        "vpop {s16, s17, s18}\n"
        "vpop {d8, d9}\n"
#endif
        "ldmia sp!, {r4, r5, r6, r7, r8, r9}\n"
        "ldrd r4, r5, [sp], #16\n"
        "ldr r4, [sp], #8\n"
#endif
        "add sp, sp, #32\n"
        "pop {r4, pc}\n");
}

/* Inside a function longer than a branch reaches, a Cortex-M0 jumps with bl; lr was saved before. */
__attribute__((naked)) uint32_t far_jump(void) {
    __asm__ volatile(
        "push {r4, lr}\n"
        "bl 1f\n"
        ".space 4096\n"
        "1:\n"
        "sub sp, #8\n"
        "str r4, [sp]\n"
        "add sp, #8\n"
        "pop {r4, pc}\n");
}

/* 1. Counts down once; a load and a return that are conditional come just before. A memory hook leaves unicorn
 * in the If-Then state of such a load: the count then set no flags, and the loop here never ended. */
__attribute__((naked)) uint32_t conditional_return(const uint32_t *word) {
    __asm__ volatile(
        "push {r4, lr}\n"
        "movs r4, #1\n"
        "movs r1, #0\n"
        "subs r1, #1\n"
#if defined(__thumb2__)
        "bl 2f\n"
#endif
        "subs r4, #1\n"
        "beq 1f\n"
        "movs r0, #0\n"
        "pop {r4, pc}\n"
        "1:\n"
        "movs r0, #1\n"
        "pop {r4, pc}\n"
#if defined(__thumb2__)
        "2:\n"
        "itt mi\n"
        "ldrmi r0, [r0]\n"
        "bxmi lr\n"
        "bx lr\n"
#endif
    );
}

int main(void) {
    pointer = toy_steps;
    return (int)toy_memory[0];
}
