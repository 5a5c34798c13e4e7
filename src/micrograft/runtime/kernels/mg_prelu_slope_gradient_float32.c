#include "mg_choice.h"
#include "mg_math.h"

void mg_prelu_slope_gradient_float32(const mg_mul_sum_to_params *params, const float *dy, const float *x,
                                     float *dslope) {
    int32_t index[MG_OUTER_AXES] = {0};
    for (int32_t i = 0; i < params->size; ++i) {
        dslope[i] = 0.0f;
    }
    for (int32_t row = 0; row < params->rows; ++row) {
        float *sum = dslope;
        for (int32_t column = 0; column < params->columns; ++column, ++dy, ++x) {
            if (*x < 0.0f) {
                *sum = mg_fma(*dy, *x, *sum);
            }
            sum += params->y_step;
        }
        dslope += params->y_jump[mg_next_row(params->shape, index)];
    }
}
