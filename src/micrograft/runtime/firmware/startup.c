/* From power-on to main() on any Cortex-M, and nowhere further: after main() the core rests at mg_idle;
 * every fault, and every interrupt (none is enabled here), ends at mg_fault. */
#include <stdint.h>

#define COPROCESSOR_ACCESS ((volatile uint32_t *)UINT32_C(0xE000ED88)) /* SCB->CPACR */
#define FULL_ACCESS_TO_FPU (UINT32_C(0xF) << 20)

typedef void (*handler_t)(void);

typedef struct {
    uint32_t *stack_top;
    handler_t handlers[15];
} vector_table_t;

/* Placed by the linker script. */
extern uint32_t mg_stack_top[];
extern const uint32_t mg_data_source[];
extern uint32_t mg_data_start[], mg_data_end[];
extern uint32_t mg_bss_start[], mg_bss_end[];

int main(void);
void mg_reset(void);
void mg_start(void);
void mg_idle(void);
void mg_fault(void);

__attribute__((noinline)) void mg_idle(void) {
    for (;;) {
        __asm__ volatile("");
    }
}

__attribute__((noinline)) void mg_fault(void) {
    for (;;) {
        __asm__ volatile("nop");
    }
}

__attribute__((used)) void mg_start(void) {
    const uint32_t *source = mg_data_source;
    uint32_t *word;
#ifdef __ARM_FP
    *COPROCESSOR_ACCESS |= FULL_ACCESS_TO_FPU;
    __asm__ volatile("dsb\n\tisb" ::: "memory");
#endif
    for (word = mg_data_start; word < mg_data_end; word++) {
        *word = *source++;
    }
    for (word = mg_bss_start; word < mg_bss_end; word++) {
        *word = 0;
    }
    (void)main();
    mg_idle();
}

/* The hardware sets the stack pointer after a reset; whoever jumps here later may not have. */
__attribute__((naked)) void mg_reset(void) {
    __asm__ volatile("ldr r0, =mg_stack_top\n\tmov sp, r0\n\tbl mg_start");
}

__attribute__((section(".vectors"), used)) const vector_table_t mg_vectors = {
    mg_stack_top,
    {mg_reset, mg_fault, mg_fault, mg_fault, mg_fault, mg_fault, mg_fault, mg_fault, mg_fault, mg_fault,
     mg_fault, mg_fault, mg_fault, mg_fault, mg_fault},
};
