#include "mg_fused_update.h"

void mg_fused_sgd_momentum_float32(const mg_fused_sgd_momentum_float32_params *params, float *weight,
                                   const mg_gradient_float32 *gradient, const float *rate, float *velocity,
                                   const float *scale) {
    mg_sgd_momentum_params part = params->update;
    for (int32_t from = 0; from < params->update.size; from += part.size) {
        part.size = mg_weight_gradient_part_float32(&params->gradient, gradient, from);
        mg_sgd_momentum_float32(&part, weight + from, gradient->part, rate, velocity + from, scale);
    }
}
