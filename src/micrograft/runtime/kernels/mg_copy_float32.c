#include "mg_copy.h"

void mg_copy_float32(const mg_copy_params *params, const float *x, float *y) {
    for (int32_t row = 0; row < params->rows; ++row, x += params->x_stride, y += params->y_stride) {
        for (int32_t column = 0; column < params->columns; ++column) {
            y[column] = x[column];
        }
    }
}
