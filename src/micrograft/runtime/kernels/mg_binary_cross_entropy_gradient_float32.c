#include "mg_losses.h"
#include "mg_math.h"

void mg_binary_cross_entropy_gradient_float32(const mg_loss_params *params, const float *logits,
                                              const float *target, float *dx) {
    const float share = 1.0f / (float)params->size;
    for (int32_t i = 0; i < params->size; ++i) {
        dx[i] = (1.0f / (1.0f + mg_exp(-logits[i])) - target[i]) * share;
    }
}
