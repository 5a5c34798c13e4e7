/* Two products of 16 bits at a time, where the core has such instructions (Cortex-M4, M7 and M33 with DSP). MG_DSP says
 * whether kernels take that way; products of codes are exact, so both ways give the same bits. With -DMG_DSP=1 this
 * header gives the instructions in plain C, for tests on other machines. Bytes are little-endian. */
#ifndef MG_DSP_H
#define MG_DSP_H

#include <stdint.h>

#ifndef MG_DSP
#if defined(__ARM_FEATURE_DSP) && defined(__ARM_FEATURE_SIMD32)
#define MG_DSP 1
#else
#define MG_DSP 0
#endif
#endif

#if MG_DSP

typedef int32_t mg_pair; /* two int16, the first in the lower half */
typedef uint32_t mg_quad; /* four int8, the first in the lowest byte */

/* Four neighbouring codes, which need no alignment. */
static inline mg_quad mg_load_quad(const int8_t *from) {
    mg_quad codes;
    __builtin_memcpy(&codes, from, sizeof codes);
    return codes;
}

/* Two neighbouring int16, likewise. */
static inline mg_pair mg_load_pair_int16(const int16_t *from) {
    mg_pair pair;
    __builtin_memcpy(&pair, from, sizeof pair);
    return pair;
}

/* Pair `i` of those at an address that is a multiple of 4. */
static inline mg_pair mg_load_column(const int16_t *from, int32_t i) {
    mg_pair pair;
    __builtin_memcpy(&pair, __builtin_assume_aligned(from + 2 * i, 4), sizeof pair);
    return pair;
}

/* Stores two pairs at such an address. */
static inline void mg_store_pairs(int16_t *to, mg_pair first, mg_pair second) {
    int16_t *const aligned = __builtin_assume_aligned(to, 4);
    __builtin_memcpy(aligned, &first, sizeof first);
    __builtin_memcpy(aligned + 2, &second, sizeof second);
}

/* A number twice. */
static inline mg_pair mg_twice(int32_t x) {
    return (mg_pair)(((uint32_t)x & 0xFFFFu) | (uint32_t)x << 16);
}

/* The lower halves of two pairs, and their upper halves. */
static inline mg_pair mg_lower_halves(mg_pair a, mg_pair b) {
    return (mg_pair)(((uint32_t)a & 0xFFFFu) | (uint32_t)b << 16);
}

static inline mg_pair mg_upper_halves(mg_pair a, mg_pair b) {
    return (mg_pair)(((uint32_t)b & 0xFFFF0000u) | (uint32_t)a >> 16);
}

/* Two neighbouring codes. */
static inline mg_pair mg_load_pair_int8(const int8_t *from) {
    return (mg_pair)(((uint32_t)from[0] & 0xFFFFu) | (uint32_t)from[1] << 16);
}

#ifdef __arm__

#include <arm_acle.h>

/* Of four codes the first and the third, each plus what is in its half of `more`. */
static inline mg_pair mg_even_codes(mg_pair more, mg_quad codes) {
    return __sxtab16(more, (int32_t)codes);
}

/* The second and the fourth. */
static inline mg_pair mg_odd_codes(mg_pair more, mg_quad codes) {
    return __sxtab16(more, (int32_t)__ror(codes, 8));
}

/* The same two without `more`. */
static inline mg_pair mg_even(mg_quad codes) {
    return __sxtb16((int32_t)codes);
}

static inline mg_pair mg_odd(mg_quad codes) {
    return __sxtb16((int32_t)__ror(codes, 8));
}

/* sum plus the products of the lower and of the upper halves. */
static inline int32_t mg_add_products(mg_pair a, mg_pair b, int32_t sum) {
    return __smlad(a, b, sum);
}

/* sum plus the product of the lower halves. */
static inline int32_t mg_add_lower(mg_pair a, mg_pair b, int32_t sum) {
    return __smlabb(a, b, sum);
}

/* sum plus the product of the upper halves. */
static inline int32_t mg_add_upper(mg_pair a, mg_pair b, int32_t sum) {
    return __smlatt(a, b, sum);
}

#else

static inline int32_t mg_lower(mg_pair pair) {
    return (int16_t)(uint16_t)((uint32_t)pair & 0xFFFFu);
}

static inline int32_t mg_upper(mg_pair pair) {
    return (int16_t)(uint16_t)((uint32_t)pair >> 16);
}

static inline mg_pair mg_pair_of(int32_t lower, int32_t upper) {
    return (mg_pair)(((uint32_t)lower & 0xFFFFu) | (uint32_t)upper << 16);
}

static inline mg_pair mg_even_codes(mg_pair more, mg_quad codes) {
    return mg_pair_of(mg_lower(more) + (int8_t)(uint8_t)(codes & 0xFFu),
                      mg_upper(more) + (int8_t)(uint8_t)(codes >> 16 & 0xFFu));
}

static inline mg_pair mg_odd_codes(mg_pair more, mg_quad codes) {
    return mg_even_codes(more, codes >> 8);
}

static inline mg_pair mg_even(mg_quad codes) {
    return mg_even_codes(0, codes);
}

static inline mg_pair mg_odd(mg_quad codes) {
    return mg_odd_codes(0, codes);
}

static inline int32_t mg_add_products(mg_pair a, mg_pair b, int32_t sum) {
    return sum + mg_lower(a) * mg_lower(b) + mg_upper(a) * mg_upper(b);
}

static inline int32_t mg_add_lower(mg_pair a, mg_pair b, int32_t sum) {
    return sum + mg_lower(a) * mg_lower(b);
}

static inline int32_t mg_add_upper(mg_pair a, mg_pair b, int32_t sum) {
    return sum + mg_upper(a) * mg_upper(b);
}

#endif
#endif
#endif
