/* log(x) = e*ln(2) + log(1 + f) with x = 2^e * (1 + f) and 1 + f in [2/3, 4/3): a polynomial in f, fitted
 * for the least relative error (0.08 * 2^-24 before rounding). Within 1 ulp, subnormal x included. */
#include "mg_math.h"

#define INFINITY_BITS UINT32_C(0x7F800000)
#define NAN_BITS UINT32_C(0x7FC00000)
#define TWO_THIRDS UINT32_C(0x3F2AAAAB)
#define SMALLEST_NORMAL 0x1p-126f
#define LN2 0x1.62e430p-1f

float mg_log(float x) {
    uint32_t bits, scale;
    float exponent = 0.0f, f, sum;
    if (x != x || x < 0.0f) {
        return mg_from_bits(NAN_BITS);
    }
    if (x < SMALLEST_NORMAL) {
        if ((mg_bits(x) << 1) == 0u) {
            return mg_from_bits(UINT32_C(0xFF800000));
        }
        x *= 0x1p+23f;
        exponent = -23.0f;
    }
    bits = mg_bits(x);
    if (bits == INFINITY_BITS) {
        return x;
    }
    scale = (bits - TWO_THIRDS) & UINT32_C(0xFF800000); /* the exponent, in place, possibly negative */
    exponent += (float)(int32_t)scale * 0x1p-23f;
    f = mg_from_bits(bits - scale) - 1.0f;
    sum = -0x1.07c510p-3f;
    sum = mg_fma(sum, f, 0x1.1e6d18p-3f);
    sum = mg_fma(sum, f, -0x1.f33276p-4f);
    sum = mg_fma(sum, f, 0x1.1ed55ap-3f);
    sum = mg_fma(sum, f, -0x1.559c68p-3f);
    sum = mg_fma(sum, f, 0x1.99d050p-3f);
    sum = mg_fma(sum, f, -0x1.fffefap-3f);
    sum = mg_fma(sum, f, 0x1.555506p-2f);
    sum = mg_fma(sum, f, -0.5f);
    sum = mg_fma(sum, f * f, f);
    return mg_fma(exponent, LN2, sum);
}
