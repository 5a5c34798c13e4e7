/* tanh(x): below 0.55 an odd polynomial, fitted for the least relative error (0.02 * 2^-24 before rounding);
 * above, 1 - 2/(e^2x + 1), which loses nothing there. Within 2 ulp; keeps the sign of zero. */
#include "mg_math.h"

#define SIGN_BIT UINT32_C(0x80000000)
#define SATURATED 9.011f /* from here on the nearest float32 is 1 */

float mg_tanh(float x) {
    const uint32_t sign = mg_bits(x) & SIGN_BIT;
    const float size = mg_from_bits(mg_bits(x) ^ sign);
    float result;
    if (x != x) {
        return x;
    }
    if (size < 0.55f) {
        const float square = size * size;
        float sum = -0x1.995794p-8f;
        sum = mg_fma(sum, square, 0x1.58ec9cp-6f);
        sum = mg_fma(sum, square, -0x1.b91f22p-5f);
        sum = mg_fma(sum, square, 0x1.110cf0p-3f);
        sum = mg_fma(sum, square, -0x1.55554ap-2f);
        result = mg_fma(sum * square, size, size);
    } else if (size < SATURATED) {
        result = 1.0f - 2.0f / (mg_exp(2.0f * size) + 1.0f);
    } else {
        result = 1.0f;
    }
    return mg_from_bits(mg_bits(result) | sign);
}
