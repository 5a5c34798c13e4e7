/* The integer arithmetic of int8 networks.
 * A real factor is multiplier * 2^(shift - 31), with a multiplier of 0 or from 2^30 up to 2^31. Sums are int32.
 * Products are rounded twice, as in TensorFlow Lite's reference kernels (gemmlowp): to nearest, ties up, after the
 * doubling high multiplication, and to nearest, ties away from zero, after the shift to the right; or once, to
 * nearest, ties to even. A layer's sums that are rounded once are scaled in float32, as ONNX Runtime's int8 kernels do;
 * where there is no floating-point unit the same bits come from integers alone.
 * Codes saturate, they never wrap.
 * A negative number shifted to the right is taken to keep its sign, as all our compilers do. */
#ifndef MG_FIXED_POINT_H
#define MG_FIXED_POINT_H

#include "mg_math.h"

/* Whether float32 products cost one instruction. */
#ifdef MG_FLOAT_UNIT
#elif defined(__arm__) && !(defined(__ARM_FP) && (__ARM_FP & 4))
#define MG_FLOAT_UNIT 0
#else
#define MG_FLOAT_UNIT 1
#endif

/* What codes lie between, and how they are rounded. */
typedef struct {
    int32_t zero; /* the code that means 0 */
    int32_t low, high;
    int32_t once; /* 1: products are rounded once; 0: twice */
} mg_code_range;

/* What an int8 layer's int32 sums meet: bias: (outputs), added first; factors: (outputs, 2), multiplier and shift. */
typedef struct {
    const int32_t *bias;
    const int32_t *factors;
} mg_channels;

/* a * multiplier / 2^31, to nearest, ties up. */
static inline int32_t mg_doubled_high(int32_t a, int32_t multiplier) {
    return (int32_t)(((int64_t)a * multiplier + (1 << 30)) >> 31);
}

/* x / 2^exponent, to nearest, ties away from zero; x is no INT32_MIN. */
static inline int32_t mg_divided(int32_t x, int32_t exponent) {
    return exponent == 0 ? x : (((x + (x >> 31)) >> (exponent - 1)) + 1) >> 1;
}

/* x * 2^places; what leaves an int32 wraps, as it must not. */
static inline int32_t mg_shifted_left(int32_t x, int32_t places) {
    return (int32_t)((uint32_t)x << places);
}

/* The product of x and a factor before its last shift to the right, by mg_right_shift(shift) places. */
static inline int32_t mg_raised(int32_t x, int32_t multiplier, int32_t shift) {
    return mg_doubled_high(shift > 0 ? mg_shifted_left(x, shift) : x, multiplier);
}

/* Places to the right that a shift means. */
static inline int32_t mg_right_shift(int32_t shift) {
    return shift < 0 ? -shift : 0;
}

/* x times a factor, rounded twice. */
static inline int32_t mg_rescaled_twice(int32_t x, int32_t multiplier, int32_t shift) {
    return mg_divided(mg_raised(x, multiplier, shift), mg_right_shift(shift));
}

/* x times a factor, rounded once. */
static inline int32_t mg_rescaled_once(int32_t x, int32_t multiplier, int32_t shift) {
    const int64_t product = (int64_t)x * multiplier;
    if (shift < -1) { /* the upper half holds the result; of the lower one counts whether it is 0 */
        const int32_t places = -1 - shift, high = (int32_t)(product >> 32);
        const int32_t below = high >> places, middle = (int32_t)((uint32_t)1 << (places - 1));
        const int32_t rest = high & (2 * middle - 1);
        return below + (rest + (((uint32_t)product != 0) | (below & 1)) > middle);
    }
    const int64_t half = (int64_t)1 << (30 - shift);
    const int64_t nearest = (product + half) >> (31 - shift);
    const int tie = (product & (2 * half - 1)) == half;
    return (int32_t)(tie ? nearest & ~(int64_t)1 : nearest);
}

/* x times a factor, rounded as the codes of `range` are. */
static inline int32_t mg_rescaled(const mg_code_range *range, int32_t x, int32_t multiplier, int32_t shift) {
    return range->once ? mg_rescaled_once(x, multiplier, shift) : mg_rescaled_twice(x, multiplier, shift);
}

/* A factor as float32, rounded once: 2^(shift - 31) is no subnormal, as a shift is at least -31. */
static inline float mg_factor(int32_t multiplier, int32_t shift) {
    return (float)multiplier * mg_from_bits((uint32_t)(127 + shift - 31) << 23);
}

/* x to the 24 bits that a float32 holds, to nearest, ties to even; |x| is below 2^62. */
static inline int64_t mg_to_float_bits(int64_t x) {
    const uint64_t size = x < 0 ? (uint64_t)-x : (uint64_t)x;
    if (size >> 24 == 0) {
        return x;
    }
    const int32_t dropped = 40 - __builtin_clzll(size);
    const uint64_t kept = size >> dropped;
    const uint64_t rounded = (size + ((uint64_t)1 << (dropped - 1)) - 1 + (kept & 1)) >> dropped << dropped;
    return x < 0 ? -(int64_t)rounded : (int64_t)rounded;
}

/* x times a factor with both in float32, the product too, then to nearest, ties to even: in integers. At most 2^22 either
 * way, which is far beyond any code. */
static inline int32_t mg_scaled_step_by_step(int32_t x, int32_t multiplier, int32_t shift) {
    const int64_t product = mg_to_float_bits(mg_to_float_bits(x) * mg_to_float_bits(multiplier));
    const int32_t places = 31 - shift; /* from 1 to 62 unless a factor is 2^30 or more */
    const int64_t limit = (int64_t)1 << 22;
    int64_t nearest;
    if (places < 1) {
        nearest = product;
    } else {
        const int64_t half = (int64_t)1 << (places - 1);
        nearest = (product + half) >> places;
        nearest -= ((product & (2 * half - 1)) == half) & nearest & 1;
    }
    return (int32_t)(nearest > limit ? limit : nearest < -limit ? -limit : nearest);
}

/* The int8 code nearest to x between two codes. */
static inline int8_t mg_clamped(int32_t x, int32_t low, int32_t high) {
    return (int8_t)(x < low ? low : x > high ? high : x);
}

/* The code of so many steps from zero. */
static inline int8_t mg_code(const mg_code_range *range, int32_t steps) {
    return mg_clamped(steps + range->zero, range->low, range->high);
}

/* The same, but beyond 2^14 only as large, where 32 bits tell the result: not where the product, whose last bits a float32
 * does not hold, may lie on either side of a tie, nor where x has more bits than a float32. */
static inline int32_t mg_scaled_in_integers(int32_t x, int32_t multiplier, int32_t shift) {
    const uint32_t size = (uint32_t)multiplier;
    const int32_t short_one = (int32_t)((size + 63u + (size >> 7 & 1u)) >> 7); /* 24 bits, ties to even */
    const int64_t product = (int64_t)x * short_one;
    const int32_t places = 8 - shift; /* from the product to 16 bits behind the point */
    if (shift <= 0 && x < 1 << 24 && x > -(1 << 24)) {
        const int32_t high = (int32_t)(product >> 32);
        const int32_t fixed = places < 32 ? (int32_t)((uint32_t)high << (32 - places) | (uint32_t)product >> places)
                                          : high >> (places - 32);
        const int32_t beyond = places < 32 ? high >> (places - 2) : 0;
        const int32_t from_tie = (fixed & 0xFFFF) - 0x8000;
        if (beyond != beyond >> 31) {
            return high < 0 ? -(1 << 14) : 1 << 14;
        }
        if (from_tie > 66 || from_tie < -66) { /* 2^-24 of 2^14, in 2^-16, and what was cut off */
            return (fixed + 0x8000) >> 16;
        }
    }
    return mg_scaled_step_by_step(x, multiplier, shift);
}

/* The code of a product in float32, which is clamped before it is rounded to a whole number, ties to even. */
static inline int8_t mg_code_of_product(const mg_code_range *range, float product) {
    const float low = (float)(range->low - range->zero), high = (float)(range->high - range->zero);
    const float magic = 12582912.0f; /* 1.5 * 2^23: what is added to it is rounded to a whole number */
    const float within = product < low ? low : product > high ? high : product;
    return (int8_t)(mg_bits(within + magic) - mg_bits(magic) + (uint32_t)range->zero);
}

/* What sums of one output at two positions become. */
typedef struct {
    int8_t here, there;
} mg_two_codes;

/* factor: multiplier and shift. */
static inline mg_two_codes mg_codes_of_two(const mg_code_range *range, int32_t here, int32_t there,
                                           const int32_t *factor) {
    mg_two_codes codes;
    if (range->once) {
#if MG_FLOAT_UNIT
        const float real = mg_factor(factor[0], factor[1]);
        codes.here = mg_code_of_product(range, (float)here * real);
        codes.there = mg_code_of_product(range, (float)there * real);
#else
        codes.here = mg_code(range, mg_scaled_in_integers(here, factor[0], factor[1]));
        codes.there = mg_code(range, mg_scaled_in_integers(there, factor[0], factor[1]));
#endif
    } else {
        codes.here = mg_code(range, mg_rescaled_twice(here, factor[0], factor[1]));
        codes.there = mg_code(range, mg_rescaled_twice(there, factor[0], factor[1]));
    }
    return codes;
}

/* What the sum of a layer's products becomes. */
static inline int8_t mg_code_of_sum(const mg_code_range *range, int32_t sum, const int32_t *factor) {
    if (!range->once) {
        return mg_code(range, mg_rescaled_twice(sum, factor[0], factor[1]));
    }
#if MG_FLOAT_UNIT
    return mg_code_of_product(range, (float)sum * mg_factor(factor[0], factor[1]));
#else
    return mg_code(range, mg_scaled_in_integers(sum, factor[0], factor[1]));
#endif
}

#endif
