/* float32 made of integers, without a float computed: for cores that compute floats in software. */
#ifndef MG_FLOAT_BITS_H
#define MG_FLOAT_BITS_H

#include "mg_math.h"

static inline int32_t mg_bit_length(uint32_t bits) {
    int32_t length = 0;
    for (; bits; bits >>= 1) {
        ++length;
    }
    return length;
}

/* The float32 below or equal to x * 2^exponent; infinity above all of them, 0 below all but subnormals. */
static inline float mg_float_below(uint64_t x, int32_t exponent) {
    int32_t length = (uint32_t)(x >> 32) ? 32 + mg_bit_length((uint32_t)(x >> 32)) : mg_bit_length((uint32_t)x);
    const int32_t biased = length - 1 + exponent + 127;
    if (length == 0 || biased <= 0) {
        return mg_from_bits(0);
    }
    if (biased >= 255) {
        return mg_from_bits(0x7F800000u);
    }
    x = length > 24 ? x >> (length - 24) : x << (24 - length);
    return mg_from_bits((uint32_t)biased << 23 | ((uint32_t)x & 0x7FFFFFu));
}

#endif
