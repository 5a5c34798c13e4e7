/* erf(x): below 0.921875 an odd polynomial, fitted for the least relative error (0.26 * 2^-24 before rounding);
 * above, 1 - e^p(|x|) with p a polynomial fitted likewise (0.05 * 2^-24). Within 1.1 ulp; keeps the sign of zero. */
#include "mg_math.h"

#define SIGN_BIT UINT32_C(0x80000000)
#define SATURATED 3.92f /* from here on the nearest float32 is 1 */

float mg_erf(float x) {
    const uint32_t sign = mg_bits(x) & SIGN_BIT;
    const float size = mg_from_bits(mg_bits(x) ^ sign);
    float result;
    if (x != x) {
        return x;
    }
    if (size < 0.921875f) {
        const float square = size * size;
        float sum = -0x1.3a17e8p-11f;
        sum = mg_fma(sum, square, 0x1.473bacp-8f);
        sum = mg_fma(sum, square, -0x1.b68b54p-6f);
        sum = mg_fma(sum, square, 0x1.ce1a6ap-4f);
        sum = mg_fma(sum, square, -0x1.8126e6p-2f);
        sum = mg_fma(sum, square, 0x1.06eba6p-3f);
        result = mg_fma(sum, size, size);
    } else if (size < SATURATED) {
        float sum = 0x1.c0a104p-13f;
        sum = mg_fma(sum, size, -0x1.a552d6p-9f);
        sum = mg_fma(sum, size, 0x1.770092p-6f);
        sum = mg_fma(sum, size, -0x1.af2458p-4f);
        sum = mg_fma(sum, size, -0x1.457d20p-1f);
        sum = mg_fma(sum, size, -0x1.20e648p+0f);
        result = 1.0f - mg_exp(sum * size);
    } else {
        result = 1.0f;
    }
    return mg_from_bits(mg_bits(result) | sign);
}
