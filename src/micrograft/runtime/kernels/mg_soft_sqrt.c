/* The square root for targets without one, by integers: one bit of the root per step, as on paper.
 * The remainder tells whether the root lies above its last half bit, so it is rounded once, to nearest. */
#include "mg_math.h"

#define INFINITY_BITS UINT32_C(0x7F800000)
#define NAN_BITS UINT32_C(0x7FC00000)
#define HIDDEN_BIT UINT32_C(0x00800000)

float mg_soft_sqrt(float x) {
    uint32_t mantissa = mg_bits(x);
    uint32_t root = 0, reached = 0, step = HIDDEN_BIT << 1;
    int32_t exponent;

    if ((mantissa << 1) == 0u || mantissa == INFINITY_BITS) {
        return x;
    }
    if (mantissa > INFINITY_BITS) { /* a NaN, or below zero */
        return mg_from_bits(NAN_BITS);
    }
    exponent = (int32_t)(mantissa >> 23) - 127;
    mantissa &= HIDDEN_BIT - 1u;
    if (exponent == -127) {
        exponent = -126;
        while (mantissa < HIDDEN_BIT) {
            mantissa <<= 1;
            exponent--;
        }
    }
    mantissa |= HIDDEN_BIT;
    if ((exponent & 1) != 0) {
        mantissa <<= 1;
        exponent--;
    }
    /* 24 bits of the root and one to round by; `reached` is twice the root found so far. */
    mantissa <<= 1;
    while (step != 0u) {
        const uint32_t attempt = reached + step;
        if (attempt <= mantissa) {
            reached = attempt + step;
            mantissa -= attempt;
            root += step;
        }
        mantissa <<= 1;
        step >>= 1;
    }
    root = (root + (root & 1u)) >> 1; /* a tie cannot happen: no 25-bit root is exact */
    return mg_from_bits((uint32_t)(exponent / 2 + 126) * HIDDEN_BIT + root);
}
