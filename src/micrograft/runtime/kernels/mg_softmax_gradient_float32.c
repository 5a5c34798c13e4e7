#include "mg_activations.h"
#include "mg_math.h"

void mg_softmax_gradient_float32(const mg_softmax_params *params, const float *dy, const float *y, float *dx) {
    const int32_t columns = params->columns;
    for (int32_t row = 0; row < params->rows; ++row, dy += columns, y += columns, dx += columns) {
        float sum = 0.0f;
        for (int32_t i = 0; i < columns; ++i) {
            sum = mg_fma(dy[i], y[i], sum);
        }
        for (int32_t i = 0; i < columns; ++i) {
            dx[i] = y[i] * (dy[i] - sum);
        }
    }
}
