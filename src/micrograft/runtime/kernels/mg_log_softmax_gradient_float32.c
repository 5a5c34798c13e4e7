#include "mg_math.h"
#include "mg_rank.h"

void mg_log_softmax_gradient_float32(const mg_softmax_params *params, const float *dy, const float *y, float *dx) {
    const int32_t columns = params->columns;
    for (int32_t row = 0; row < params->rows; ++row, dy += columns, y += columns, dx += columns) {
        float sum = 0.0f;
        for (int32_t i = 0; i < columns; ++i) {
            sum += dy[i];
        }
        for (int32_t i = 0; i < columns; ++i) {
            dx[i] = mg_fma(-mg_exp(y[i]), sum, dy[i]);
        }
    }
}
