#include "mg_copy.h"

void mg_copy_float32(const mg_copy_params *params, const float *x, float *y) {
    for (int32_t row = 0; row < params->rows; ++row) {
        const float *from = x + row * params->x_stride;
        float *to = y + row * params->y_stride;
        for (int32_t column = 0; column < params->columns; ++column) {
            to[column] = from[column];
        }
    }
}
