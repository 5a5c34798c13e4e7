#include "mg_arithmetic.h"

void mg_sum_to_float32(const mg_sum_to_params *params, const float *x, float *y) {
    const int32_t columns = params->columns;
    int32_t index[MG_OUTER_AXES] = {0};
    for (int32_t i = 0; i < params->size; ++i) {
        y[i] = 0.0f;
    }
    for (int32_t row = 0; row < params->rows; ++row) {
        if (params->y_step) {
            for (int32_t column = 0; column < columns; ++column) {
                y[column] += *x++;
            }
        } else {
            float sum = *y;
            for (int32_t column = 0; column < columns; ++column) {
                sum += *x++;
            }
            *y = sum;
        }
        y += params->y_jump[mg_next_row(params->shape, index)];
    }
}
