#include "mg_elements.h"

void mg_mask_gradient_float32(const mg_elements_params *params, const float *dy, const uint8_t *mask, float *dx) {
    const int32_t size = params->size;
    for (int32_t i = 0; i < size; i += 8) {
        const int32_t count = size - i < 8 ? size - i : 8;
        uint32_t bits = *mask++;
        for (int32_t j = 0; j < count; ++j, bits >>= 1) {
            dx[i + j] = bits & 1u ? dy[i + j] : 0.0f;
        }
    }
}
