#include "mg_pointwise.h"

void mg_abs_gradient_float32(const mg_elements_params *params, const float *dy, const float *x, float *dx) {
    for (int32_t i = 0; i < params->size; ++i) {
        dx[i] = x[i] > 0.0f ? dy[i] : x[i] < 0.0f ? -dy[i] : 0.0f;
    }
}
