/* What the emulator calls at every instruction and memory access while a run is measured. In C, because
 * these calls are most of the time of a measured run. Built for the host when first needed. */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { WATCHES = 4 };

/* These two are mirrored field by field in probe.py. Addresses are those of the emulated board. */
typedef struct {
    uint64_t start, end; /* given: the range watched, such as the stack; none where both are 0 */
    uint64_t lowest;     /* found: its lowest byte touched, */
    uint64_t behind;     /* and the first one behind the highest byte touched */
} watch_t;

typedef struct {
    uint64_t instructions;
    uint64_t misaligned;    /* found: the first access at an address not a multiple of its size */
    uint64_t read_register; /* given: the engine's uc_reg_read and uc_reg_write */
    uint64_t write_register;
    watch_t watches[WATCHES];
} probe_t;

/* Mirrored in probe.py. */
typedef struct {
    uint64_t start, end; /* given: the code that is counted */
    uint64_t *counts;    /* found: how often each halfword of it was executed as the first of an instruction */
} profile_t;

/* Mirrored in probe.py. */
typedef struct {
    uint64_t start, end; /* given: the code of the functions whose calls are told apart */
    const uint8_t *callers; /* given: for each halfword of that range, whether it belongs to one of them */
    uint64_t *counts;    /* found: instructions of each call, in the order of the calls */
    uint64_t room;       /* given: how many calls there is room for */
    uint64_t calls;      /* found: how many there were */
    uint64_t own;        /* found: instructions of the calling functions themselves */
    uint64_t inside;     /* found: whether a call is running */
} calls_t;

typedef int (*register_access_t)(void *engine, int number, void *value);

enum { REGISTER_CPSR = 3 }; /* UC_ARM_REG_CPSR */
#define IF_THEN_STATE UINT32_C(0x0600FC00)

void mg_hook_instruction(void *engine, uint64_t address, uint32_t size, void *user);
void mg_hook_memory(void *engine, int type, uint64_t address, int size, int64_t value, void *user);
void mg_hook_profile(void *engine, uint64_t address, uint32_t size, void *user);
void mg_hook_calls(void *engine, uint64_t address, uint32_t size, void *user);

void mg_hook_instruction(void *engine, uint64_t address, uint32_t size, void *user) {
    (void)engine;
    (void)address;
    (void)size;
    ((probe_t *)user)->instructions++;
}

void mg_hook_profile(void *engine, uint64_t address, uint32_t size, void *user) {
    const profile_t *profile = user;
    (void)engine;
    (void)size;
    if (address >= profile->start && address < profile->end) {
        profile->counts[(address - profile->start) / 2]++;
    }
}

void mg_hook_calls(void *engine, uint64_t address, uint32_t size, void *user) {
    calls_t *calls = user;
    (void)engine;
    (void)size;
    if (address >= calls->start && address < calls->end && calls->callers[(address - calls->start) / 2]) {
        calls->inside = 0;
        calls->own++;
        return;
    }
    if (!calls->inside) {
        calls->inside = 1;
        calls->calls++;
    }
    if (calls->calls <= calls->room) {
        calls->counts[calls->calls - 1]++;
    }
}

/* A memory hook leaves unicorn 2.1.4 in the If-Then state of the instruction that it interrupted, and the next
 * block of code then runs conditionally. Translated code keeps that state itself: outside it must be clear. */
static void leave_if_then_state(const probe_t *probe, void *engine) {
    uint32_t status = 0;
    ((register_access_t)(uintptr_t)probe->read_register)(engine, REGISTER_CPSR, &status);
    if (status & IF_THEN_STATE) {
        status &= ~IF_THEN_STATE;
        ((register_access_t)(uintptr_t)probe->write_register)(engine, REGISTER_CPSR, &status);
    }
}

void mg_hook_memory(void *engine, int type, uint64_t address, int size, int64_t value, void *user) {
    probe_t *probe = user;
    const uint64_t behind = address + (uint64_t)size;
    leave_if_then_state(probe, engine);
    (void)type;
    (void)value;
    for (watch_t *watch = probe->watches; watch < probe->watches + WATCHES; ++watch) {
        if (behind > watch->start && address < watch->end) {
            watch->lowest = address < watch->lowest ? address : watch->lowest;
            watch->behind = behind > watch->behind ? behind : watch->behind;
        }
    }
    if (address % (uint64_t)size != 0u && probe->misaligned == 0u) {
        probe->misaligned = address;
    }
}
