#include "mg_codes.h"

void mg_rescale_gradient_float32(const mg_rescale_params *params, const float *dy, const int32_t *factors, float *dx) {
    const int32_t columns = params->columns;
    for (int32_t column = 0; column < columns; ++column) {
        const float scale = mg_factor(factors[2 * column], factors[2 * column + 1]);
        for (int32_t i = column; i < params->rows * columns; i += columns) {
            dx[i] = dy[i] * scale;
        }
    }
}
