#include "mg_coded.h"
#include "mg_dot_int8.h"
#include "mg_float_bits.h"

/* sum * multiplier * 2^(shift - 31), towards 0. */
static float scaled(int64_t sum, int32_t multiplier, int32_t shift) {
    uint64_t magnitude = (uint64_t)(sum < 0 ? -sum : sum);
    int32_t spare = 0;
    float result;
    for (; magnitude >> 31; magnitude >>= 1) {
        ++spare;
    }
    result = mg_float_below(magnitude * (uint32_t)multiplier, shift - 31 + spare);
    return sum < 0 ? -result : result;
}

void mg_coded_linear_float32(const mg_coded_linear_params *params, const int8_t *x, const int8_t *weight,
                             const mg_channels *channels, float *y) {
    for (int32_t row = 0; row < params->rows; ++row, x += params->inputs) {
        const int8_t *w = weight;
        for (int32_t output = 0; output < params->outputs; ++output, w += params->inputs) {
            const int64_t sum = (int64_t)mg_dot_int8(x, params->x_zero, w, params->inputs, 0) + channels->bias[output];
            *y++ = scaled(sum, channels->factors[2 * output], channels->factors[2 * output + 1]);
        }
    }
}
