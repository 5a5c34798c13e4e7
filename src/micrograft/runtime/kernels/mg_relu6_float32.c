#include "mg_elements.h"

void mg_relu6_float32(const mg_elements_params *params, const float *x, float *y, uint8_t *mask) {
    const int32_t size = params->size;
    for (int32_t i = 0; i < size; i += 8) {
        const int32_t count = size - i < 8 ? size - i : 8;
        uint32_t bits = 0;
        for (int32_t j = 0; j < count; ++j) {
            const float value = x[i + j];
            bits |= (uint32_t)(value > 0.0f && value < 6.0f) << j;
            y[i + j] = value < 0.0f ? 0.0f : value > 6.0f ? 6.0f : value;
        }
        if (mask) {
            *mask++ = (uint8_t)bits;
        }
    }
}
