#include "mg_linear.h"

/* One output at a time, rows in order. */
void mg_linear_bias_gradient_float32(const mg_linear_params *params, const float *dy, float *db) {
    const int32_t outputs = params->outputs;
    for (int32_t output = 0; output < outputs; ++output) {
        const float *gradient = dy + output;
        float sum = 0.0f;
        for (int32_t row = 0; row < params->rows; ++row, gradient += outputs) {
            sum += *gradient;
        }
        db[output] = sum;
    }
}
