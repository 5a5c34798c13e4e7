#include "mg_pointwise.h"

void mg_clip_float32(const mg_clip_params *params, const float *x, float *y, uint8_t *mask) {
    const float low = params->low;
    const float high = params->high;
    for (int32_t i = 0; i < params->size; i += 8) {
        const int32_t count = params->size - i < 8 ? params->size - i : 8;
        uint32_t bits = 0;
        for (int32_t j = 0; j < count; ++j) {
            const float value = x[i + j];
            const int passes = params->ends ? value >= low && value <= high : value > low && value < high;
            bits |= (uint32_t)passes << j;
            y[i + j] = value < low ? low : value > high ? high : value;
        }
        if (mask) {
            *mask++ = (uint8_t)bits;
        }
    }
}
