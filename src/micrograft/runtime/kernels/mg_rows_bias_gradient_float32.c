#include "mg_recurrent.h"

/* One output at a time, rows in order. */
void mg_rows_bias_gradient_float32(const mg_rows_params *params, const float *dy, float *db) {
    for (int32_t output = 0; output < params->outputs; ++output) {
        const float *gradient = dy + output;
        float sum = 0.0f;
        for (int32_t row = 0; row < params->rows; ++row, gradient += params->dy_step) {
            sum += *gradient;
        }
        db[output] = sum;
    }
}
