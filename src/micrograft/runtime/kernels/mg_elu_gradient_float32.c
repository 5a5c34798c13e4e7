#include "mg_pointwise.h"

void mg_elu_gradient_float32(const mg_elu_params *params, const float *dy, const float *y, float *dx) {
    for (int32_t i = 0; i < params->size; ++i) {
        dx[i] = y[i] > 0.0f ? dy[i] : dy[i] * (y[i] + params->alpha);
    }
}
