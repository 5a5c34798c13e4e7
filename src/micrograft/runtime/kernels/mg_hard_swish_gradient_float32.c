#include "mg_math.h"
#include "mg_pointwise.h"

void mg_hard_swish_gradient_float32(const mg_elements_params *params, const float *dy, const float *x, float *dx) {
    for (int32_t i = 0; i < params->size; ++i) {
        const float value = x[i];
        const float slope = mg_fma(value, 1.0f / 3.0f, 0.5f);
        dx[i] = dy[i] * (value <= -3.0f ? 0.0f : value >= 3.0f ? 1.0f : slope);
    }
}
