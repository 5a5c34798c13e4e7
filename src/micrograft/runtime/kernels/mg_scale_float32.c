#include "mg_arithmetic.h"

void mg_scale_float32(const mg_scale_params *params, const float *x, float *y) {
    const float factor = params->factor;
    for (int32_t i = 0; i < params->size; ++i) {
        y[i] = factor * x[i];
    }
}
