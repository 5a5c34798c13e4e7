#include "mg_copy.h"

void mg_pad_float32(const mg_pad_params *params, const float *x, float *y) {
    for (int32_t row = 0; row < params->rows; ++row) {
        for (int32_t i = 0; i < params->before; ++i) {
            *y++ = 0.0f;
        }
        for (int32_t i = 0; i < params->columns; ++i) {
            *y++ = *x++;
        }
        for (int32_t i = 0; i < params->after; ++i) {
            *y++ = 0.0f;
        }
    }
}
