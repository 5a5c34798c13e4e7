#include "mg_math.h"
#include "mg_pointwise.h"

void mg_hard_sigmoid_float32(const mg_hard_sigmoid_params *params, const float *x, float *y, uint8_t *mask) {
    for (int32_t i = 0; i < params->size; i += 8) {
        const int32_t count = params->size - i < 8 ? params->size - i : 8;
        uint32_t bits = 0;
        for (int32_t j = 0; j < count; ++j) {
            const float value = mg_fma(params->slope, x[i + j], params->offset);
            bits |= (uint32_t)(value > 0.0f && value < 1.0f) << j;
            y[i + j] = value < 0.0f ? 0.0f : value > 1.0f ? 1.0f : value;
        }
        if (mask) {
            *mask++ = (uint8_t)bits;
        }
    }
}
