#include "mg_fused_update.h"
#include "mg_optimizers.h"

void mg_fused_update_float32(const mg_fused_update_params *params, const float *x, const float *dy,
                             const mg_updated *updated, float *scratch) {
    for (int32_t from = 0, count; from < params->size; from += count) {
        float *const weight = updated->weight + from;
        count = mg_weight_gradient_part_float32(params, x, dy, from, scratch);
        if (updated->velocity) {
            const mg_sgd_momentum_params part = {count, params->momentum, params->weight_decay};
            mg_sgd_momentum_float32(&part, weight, scratch, updated->rate, updated->velocity + from, updated->scale);
        } else {
            const mg_sgd_params part = {count, params->weight_decay};
            mg_sgd_float32(&part, weight, scratch, updated->rate, updated->scale);
        }
    }
}
