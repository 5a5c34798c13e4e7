/* a*b + c for targets without a fused multiply-add, by integers: the 48-bit product and c are lined up in
 * 62 bits, what is shifted out leaves a sticky bit behind, and the sum is rounded once, to nearest even. */
#include "mg_math.h"

#define INFINITY_BITS UINT32_C(0x7F800000)
#define NAN_BITS UINT32_C(0x7FC00000)
#define SIGN_BIT UINT32_C(0x80000000)
#define HIDDEN_BIT UINT32_C(0x00800000)

/* A finite nonzero magnitude, mantissa * 2^(exponent - 150) with the mantissa in [2^23, 2^24). */
typedef struct {
    int32_t exponent;
    uint32_t mantissa;
} magnitude_t;

static magnitude_t unpack(uint32_t absolute) {
    magnitude_t result;
    result.exponent = (int32_t)(absolute >> 23);
    result.mantissa = absolute & (HIDDEN_BIT - 1u);
    if (result.exponent != 0) {
        result.mantissa |= HIDDEN_BIT;
        return result;
    }
    result.exponent = 1;
    while (result.mantissa < HIDDEN_BIT) {
        result.mantissa <<= 1;
        result.exponent--;
    }
    return result;
}

/* The exact product of two 24-bit numbers, from three 32-bit products: a Cortex-M0 has no longer one. */
static uint64_t multiply(uint32_t a, uint32_t b) {
    const uint32_t a_high = a >> 12, a_low = a & 0xFFFu;
    const uint32_t b_high = b >> 12, b_low = b & 0xFFFu;
    const uint32_t high = a_high * b_high;
    const uint32_t middle = a_high * b_low + a_low * b_high;
    return ((uint64_t)high << 24) + ((uint64_t)middle << 12) + a_low * b_low;
}

/* value >> distance; the lowest bit is set if any bit shifted out was. By halves, for a small core calls a
 * function to shift 64 bits by a distance that is not constant. */
static uint64_t shift_right_sticky(uint64_t value, int32_t distance) {
    uint32_t high = (uint32_t)(value >> 32), low = (uint32_t)value, lost = 0;
    if (distance > 63) {
        return value != 0u;
    }
    if (distance > 31) {
        lost = low;
        low = high;
        high = 0;
        distance -= 32;
    }
    if (distance > 0) {
        lost |= low << (32 - distance);
        low = (low >> distance) | (high << (32 - distance));
        high >>= distance;
    }
    return ((uint64_t)high << 32) | low | (lost != 0u);
}

/* Rounds value * 2^(exponent - 189), nonzero and below 2^63; exponent is the result's own, biased, when
 * value's leading bit is bit 62. */
static float round_to_float(uint32_t sign, int32_t exponent, uint64_t value) {
    uint32_t top, rest;
    if ((value >> 32) == 0u) {
        value <<= 31;
        exponent -= 31;
    }
    while ((value >> 62) == 0u) {
        value <<= 1;
        exponent--;
    }
    if (exponent >= 255) {
        return mg_from_bits(sign | INFINITY_BITS);
    }
    if (exponent < 1) { /* subnormal: bit 62 stands for less than the hidden bit */
        value = shift_right_sticky(value, 1 - exponent);
        exponent = 1;
    }
    top = (uint32_t)(value >> 32) | ((uint32_t)value != 0u); /* 24 bits to keep, 7 to round by */
    rest = top & 0x7Fu;
    top >>= 7;
    top += (rest > 0x40u) || (rest == 0x40u && (top & 1u) != 0u);
    /* The hidden bit adds one to the exponent, and so does a carry out of the mantissa. */
    return mg_from_bits(sign | ((((uint32_t)exponent - 1u) << 23) + top));
}

static float combine(uint32_t a, uint32_t b, uint32_t c) {
    const uint32_t product_sign = (a ^ b) & SIGN_BIT;
    const uint32_t c_sign = c & SIGN_BIT;
    const magnitude_t x = unpack(a & ~SIGN_BIT), y = unpack(b & ~SIGN_BIT);
    uint64_t product = multiply(x.mantissa, y.mantissa) << 14;
    uint64_t addend = 0;
    int32_t exponent = x.exponent + y.exponent - 126; /* of bit 61 of the product */

    if ((c & ~SIGN_BIT) != 0u) {
        const magnitude_t z = unpack(c & ~SIGN_BIT);
        const int32_t distance = exponent - z.exponent;
        addend = (uint64_t)z.mantissa << 38;
        if (distance >= 0) {
            addend = shift_right_sticky(addend, distance);
        } else {
            product = shift_right_sticky(product, -distance);
            exponent = z.exponent;
        }
    }
    exponent++; /* of bit 62, where the sum may reach */
    if (product_sign == c_sign) {
        return round_to_float(product_sign, exponent, product + addend);
    }
    if (product == addend) {
        return 0.0f;
    }
    if (product > addend) {
        return round_to_float(product_sign, exponent, product - addend);
    }
    return round_to_float(c_sign, exponent, addend - product);
}

float mg_soft_fma(float a, float b, float c) {
    const uint32_t a_bits = mg_bits(a), b_bits = mg_bits(b), c_bits = mg_bits(c);
    const uint32_t a_size = a_bits & ~SIGN_BIT, b_size = b_bits & ~SIGN_BIT, c_size = c_bits & ~SIGN_BIT;
    const uint32_t product_sign = (a_bits ^ b_bits) & SIGN_BIT;

    if (a_size > INFINITY_BITS || b_size > INFINITY_BITS || c_size > INFINITY_BITS) {
        return mg_from_bits(NAN_BITS);
    }
    if (a_size == INFINITY_BITS || b_size == INFINITY_BITS) {
        if (a_size == 0u || b_size == 0u || (c_size == INFINITY_BITS && (c_bits & SIGN_BIT) != product_sign)) {
            return mg_from_bits(NAN_BITS);
        }
        return mg_from_bits(product_sign | INFINITY_BITS);
    }
    if (c_size == INFINITY_BITS) {
        return c;
    }
    if (a_size == 0u || b_size == 0u) {
        /* Two zeros of unlike sign make +0. */
        return c_size == 0u ? mg_from_bits(product_sign & c_bits) : c;
    }
    return combine(a_bits, b_bits, c_bits);
}
