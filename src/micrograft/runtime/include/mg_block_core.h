/* What the kernels of blocks share, for the width that MG_BLOCK_BITS says: 16 or 8. */
#ifndef MG_BLOCK_CORE_H
#define MG_BLOCK_CORE_H

#include "mg_block.h"
#include "mg_dsp.h"
#include "mg_float_bits.h"

#ifndef MG_BLOCK_BITS
#define MG_BLOCK_BITS 16
#endif

#if MG_BLOCK_BITS == 16
typedef int16_t mg_element;
typedef mg_block_int16 mg_block;
enum { mg_largest = 32767, mg_headroom = 1, mg_slack = 3 };
#else
typedef int8_t mg_element;
typedef mg_block_int8 mg_block;
enum { mg_largest = 127, mg_headroom = 0, mg_slack = 1 };
#endif

#if MG_DSP
/* Two neighbouring elements. */
static inline mg_pair mg_load_elements(const mg_element *from) {
#if MG_BLOCK_BITS == 16
    return mg_load_pair_int16(from);
#else
    return mg_load_pair_int8(from);
#endif
}
#endif

enum { mg_run = 256 }; /* products of an element with a number of 8 bits and a sign that int32 holds in any case */

/* How sums become codes, and every bit that a sum has had. */
typedef struct {
    int32_t shift;
    uint32_t low, high; /* of the sums, those below 0 complemented */
} mg_narrowing;

static inline mg_narrowing mg_narrowing_by(int32_t shift) {
    mg_narrowing n;
    n.shift = shift;
    n.low = n.high = 0;
    return n;
}

static inline mg_element mg_saturated(int32_t x) {
    return (mg_element)(x < -mg_largest ? -mg_largest : x > mg_largest ? mg_largest : x);
}

/* x / 2^places, to nearest, ties up. Places may pass 31: what they leave is 0. */
static inline int32_t mg_shifted(int32_t x, int32_t places) {
    return places == 0 ? x : ((x >> (places > 31 ? 31 : places - 1)) + 1) >> 1;
}

/* The bits of x, complemented below 0. */
static inline uint32_t mg_magnitude(int32_t x) {
    return (uint32_t)(x ^ (x >> 31));
}

/* The code of an int32 sum. */
static inline mg_element mg_narrowed(mg_narrowing *n, int32_t sum) {
    n->low |= mg_magnitude(sum);
    return mg_saturated(mg_shifted(sum, n->shift));
}

/* The code of an int64 sum, which mostly is an int32. */
static inline mg_element mg_narrowed_wide(mg_narrowing *n, int64_t sum) {
    const int32_t low = (int32_t)(uint32_t)sum;
    const int32_t high = (int32_t)(sum >> 32);
    const int32_t sign = high >> 31;
    if ((low >> 31) == high) {
        return mg_narrowed(n, low);
    }
    n->low |= 0xFFFFFFFFu;
    n->high |= (uint32_t)(high ^ sign);
    if (n->shift == 0) {
        return (mg_element)(sign < 0 ? -mg_largest : mg_largest);
    }
    sum = ((sum >> (n->shift - 1)) + 1) >> 1;
    return (mg_element)(sum < -mg_largest ? -mg_largest : sum > mg_largest ? mg_largest : sum);
}

/* The shift that the sums seen ask for. */
static inline int32_t mg_needed(const mg_narrowing *n) {
    const int32_t length = n->high ? 32 + mg_bit_length(n->high) : mg_bit_length(n->low);
    return length > MG_BLOCK_BITS - 1 ? length - (MG_BLOCK_BITS - 1) : 0;
}

/* Whether the codes stand; if not, they are to be written again, by the shift now in n. */
static inline int mg_settled(mg_narrowing *n, int32_t *scale) {
    const int32_t needed = mg_needed(n);
    if (!(n->low | n->high)) {
        return 1;
    }
    scale[0] = needed + mg_headroom;
    if (needed <= n->shift && n->shift <= needed + mg_slack) {
        return 1;
    }
    *n = mg_narrowing_by(needed);
    return 0;
}

#endif
