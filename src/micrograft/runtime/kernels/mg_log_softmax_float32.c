#include "mg_math.h"
#include "mg_rank.h"

void mg_log_softmax_float32(const mg_softmax_params *params, const float *x, float *y) {
    const int32_t columns = params->columns;
    for (int32_t row = 0; row < params->rows; ++row, x += columns, y += columns) {
        float largest = x[0];
        float sum = 0.0f;
        for (int32_t i = 1; i < columns; ++i) {
            largest = x[i] > largest ? x[i] : largest;
        }
        for (int32_t i = 0; i < columns; ++i) {
            sum += mg_exp(x[i] - largest);
        }
        const float log_sum = mg_log(sum);
        for (int32_t i = 0; i < columns; ++i) {
            y[i] = x[i] - largest - log_sum;
        }
    }
}
