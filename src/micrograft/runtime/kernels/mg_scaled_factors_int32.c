#include "mg_scaled_factors.h"

#include "mg_math.h"

/* The scale is 1.fraction * 2^(exponent - 127). */
static void one_factor(const int32_t *factor, uint32_t bits, int32_t *y) {
    const int32_t multiplier = factor[0];
    const int32_t most = factor[1] > 0 ? factor[1] : 0;
    const int32_t exponent = (int32_t)(bits >> 23 & 0xFFu);
    const uint32_t fraction = bits & 0x7FFFFFu;
    const uint32_t size = multiplier < 0 ? 0u - (uint32_t)multiplier : (uint32_t)multiplier;
    const uint64_t product = (uint64_t)size * (fraction | 0x800000u);
    int32_t places = product < (uint64_t)1 << 54 ? 23 : 24;
    uint64_t rounded = (product + ((uint64_t)1 << (places - 1))) >> places;
    int32_t shift;
    if (rounded >> 31) {
        rounded >>= 1;
        ++places;
    }
    shift = factor[1] + places + exponent - 150;
    if (multiplier == 0 || exponent == 0 || (exponent == 0xFF && fraction != 0) || shift < -31) {
        y[0] = y[1] = 0;
        return;
    }
    if (shift > most) {
        rounded = 0x7FFFFFFFu;
        shift = most;
    }
    y[0] = (multiplier < 0) != (int)(bits >> 31) ? -(int32_t)rounded : (int32_t)rounded;
    y[1] = shift;
}

void mg_scaled_factors_int32(const mg_scaled_factors_params *params, const int32_t *factors, const float *scale,
                             int32_t *y) {
    for (int32_t output = 0; output < params->outputs; ++output, factors += 2, y += 2) {
        one_factor(factors, mg_bits(scale[output]), y);
    }
}
