#include "mg_copy.h"

void mg_transpose_float32(const mg_transpose_params *params, const float *x, float *y) {
    const int32_t step = params->x_step;
    int32_t index[MG_OUTER_AXES] = {0};
    for (int32_t row = 0; row < params->rows; ++row) {
        const float *from = x;
        for (int32_t column = 0; column < params->columns; ++column, from += step) {
            *y++ = *from;
        }
        x += params->x_jump[mg_next_row(params->shape, index)];
    }
}
