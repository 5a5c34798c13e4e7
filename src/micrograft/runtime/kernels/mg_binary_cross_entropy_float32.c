#include "mg_losses.h"
#include "mg_math.h"

void mg_binary_cross_entropy_float32(const mg_loss_params *params, const float *logits, const float *target,
                                     float *loss) {
    float sum = 0.0f;
    for (int32_t i = 0; i < params->size; ++i) {
        const float x = logits[i];
        const float positive = x < 0.0f ? 0.0f : x;
        const float size = x < 0.0f ? -x : x;
        sum += mg_fma(-x, target[i], positive) + mg_log(1.0f + mg_exp(-size));
    }
    *loss = sum / (float)params->size;
}
