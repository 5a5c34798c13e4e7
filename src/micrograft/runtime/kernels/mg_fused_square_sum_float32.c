#include "mg_fused_update.h"
#include "mg_math.h"

/* Four accumulators, taken in turn; the elements behind the last four of the weight go to the first. */
void mg_fused_square_sum_float32(const mg_fused_update_params *params, const float *x, const float *dy, float *scratch,
                                 float *y) {
    const int32_t even = params->size / 4 * 4;
    float sums[4] = {0.0f, 0.0f, 0.0f, 0.0f};
    for (int32_t from = 0, count; from < params->size; from += count) {
        count = mg_weight_gradient_part_float32(params, x, dy, from, scratch);
        for (int32_t i = 0; i < count; ++i) {
            float *const sum = sums + (from + i < even ? (from + i) % 4 : 0);
            *sum = mg_fma(scratch[i], scratch[i], *sum);
        }
    }
    *y = (sums[0] + sums[1]) + (sums[2] + sums[3]);
}
