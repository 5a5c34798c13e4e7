#include "mg_losses.h"

void mg_mean_squared_error_gradient_float32(const mg_loss_params *params, const float *y, const float *target,
                                            float *dx) {
    const float factor = 2.0f / (float)params->size;
    for (int32_t i = 0; i < params->size; ++i) {
        dx[i] = (y[i] - target[i]) * factor;
    }
}
