#include "mg_fused_update.h"
#include "mg_square_sum_core.h"

void mg_fused_square_sum_float32(const mg_fused_square_sum_float32_params *params, const mg_gradient_float32 *gradient,
                                 const float *previous, float *y) {
    float sums[4] = {0.0f, 0.0f, 0.0f, 0.0f};
    for (int32_t from = 0, count; from < params->update.size; from += count) {
        count = mg_weight_gradient_part_float32(&params->gradient, gradient, from);
        mg_add_squares(gradient->part, from, count, params->update.size, sums);
    }
    *y = (previous ? *previous : 0.0f) + ((sums[0] + sums[1]) + (sums[2] + sums[3]));
}
