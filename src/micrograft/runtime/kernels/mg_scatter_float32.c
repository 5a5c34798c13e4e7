#include "mg_copy.h"

void mg_scatter_float32(const mg_scatter_params *params, const float *x, float *y) {
    int32_t index[MG_OUTER_AXES] = {0};
    for (int32_t i = 0; i < params->size; ++i) {
        y[i] = 0.0f;
    }
    y += params->start;
    for (int32_t row = 0; row < params->rows; ++row) {
        float *to = y;
        for (int32_t column = 0; column < params->columns; ++column, to += params->x_step) {
            *to = *x++;
        }
        y += params->x_jump[mg_next_row(params->shape, index)];
    }
}
