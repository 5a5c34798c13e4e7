#include "mg_codes.h"
#include "mg_math.h"

/* What one element of dx gets, without the unit. */
static float total(const mg_product_gradient_params *params, const float *dy, const int8_t *other) {
    int32_t index[MG_OUTER_AXES] = {0};
    float sum = 0.0f;
    for (int32_t row = 0; row < params->sum_rows; ++row) {
        const float *gradient = dy;
        const int8_t *code = other;
        for (int32_t column = 0; column < params->sum_columns; ++column) {
            sum = mg_fma(*gradient, (float)(*code - params->zero), sum);
            gradient += params->dy_sum_step;
            code += params->other_sum_step;
        }
        const int32_t axis = mg_next_row(params->sum_shape, index);
        dy += params->dy_sum_jump[axis];
        other += params->other_sum_jump[axis];
    }
    return sum;
}

void mg_product_gradient_float32(const mg_product_gradient_params *params, const float *dy, const int8_t *other,
                                 float *dx) {
    int32_t index[MG_OUTER_AXES] = {0};
    for (int32_t row = 0; row < params->rows; ++row) {
        const float *gradient = dy;
        const int8_t *code = other;
        for (int32_t column = 0; column < params->columns; ++column) {
            *dx++ = params->unit * total(params, gradient, code);
            gradient += params->dy_step;
            code += params->other_step;
        }
        const int32_t axis = mg_next_row(params->shape, index);
        dy += params->dy_jump[axis];
        other += params->other_jump[axis];
    }
}
