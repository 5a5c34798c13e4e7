#include "mg_arithmetic.h"
#include "mg_math.h"

void mg_mul_sum_to_float32(const mg_mul_sum_to_params *params, const float *a, const float *b, float *y) {
    const int32_t columns = params->columns;
    const int32_t a_step = params->a_step;
    const int32_t b_step = params->b_step;
    int32_t index[MG_OUTER_AXES] = {0};
    for (int32_t i = 0; i < params->size; ++i) {
        y[i] = 0.0f;
    }
    for (int32_t row = 0; row < params->rows; ++row) {
        const float *left = a;
        const float *right = b;
        if (params->y_step == 0) {
            float sum = *y;
            for (int32_t column = 0; column < columns; ++column, left += a_step, right += b_step) {
                sum = mg_fma(*left, *right, sum);
            }
            *y = sum;
        } else if (a_step == 1 && b_step == 1) {
            for (int32_t column = 0; column < columns; ++column) {
                y[column] = mg_fma(left[column], right[column], y[column]);
            }
        } else {
            for (int32_t column = 0; column < columns; ++column, left += a_step, right += b_step) {
                y[column] = mg_fma(*left, *right, y[column]);
            }
        }
        const int32_t axis = mg_next_row(params->shape, index);
        a += params->a_jump[axis];
        b += params->b_jump[axis];
        y += params->y_jump[axis];
    }
}
