#include "mg_pointwise.h"

void mg_hard_swish_float32(const mg_elements_params *params, const float *x, float *y) {
    for (int32_t i = 0; i < params->size; ++i) {
        const float raised = x[i] + 3.0f;
        y[i] = x[i] * (raised < 0.0f ? 0.0f : raised > 6.0f ? 6.0f : raised) * (1.0f / 6.0f);
    }
}
