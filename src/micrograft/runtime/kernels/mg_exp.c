/* e^x = 2^n * e^r with |r| <= ln(2)/2: n by rounding, r by a two-part ln(2), e^r by a polynomial that was
 * fitted for the least relative error (0.05 * 2^-24 before rounding). Within 1 ulp, subnormals included. */
#include "mg_math.h"

#define LOG2_E 0x1.715476p+0f
#define LN2_HIGH 0x1.62e430p-1f
#define LN2_LOW -0x1.05c610p-29f
#define ROUNDER 0x1.8p+23f /* adding it leaves the nearest integer in the low bits */

static float power_of_two(int32_t n) {
    return mg_from_bits((uint32_t)(n + 127) << 23);
}

float mg_exp(float x) {
    float shifted, count, r, sum;
    int32_t n;
    if (x != x) {
        return x;
    }
    if (x > 89.0f) {
        return mg_from_bits(UINT32_C(0x7F800000));
    }
    if (x < -104.0f) {
        return 0.0f;
    }
    shifted = mg_fma(x, LOG2_E, ROUNDER);
    n = (int32_t)mg_bits(shifted) - (int32_t)mg_bits(ROUNDER);
    count = shifted - ROUNDER;
    r = mg_fma(count, -LN2_HIGH, x);
    r = mg_fma(count, -LN2_LOW, r);
    sum = 0x1.6a4154p-10f;
    sum = mg_fma(sum, r, 0x1.1239c6p-7f);
    sum = mg_fma(sum, r, 0x1.5558bcp-5f);
    sum = mg_fma(sum, r, 0x1.555492p-3f);
    sum = mg_fma(sum, r, 0x1.fffffcp-2f);
    sum = mg_fma(sum, r, 1.0f);
    sum = mg_fma(sum, r, 1.0f);
    /* In two steps, for 2^128 and 2^-150 are no floats; only the second one can round. */
    return sum * power_of_two(n / 2) * power_of_two(n - n / 2);
}
