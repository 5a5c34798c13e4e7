#include "mg_linear.h"
#include "mg_math.h"

/* Four inputs of one output at a time stay in registers while the sum over rows runs; dw is written once. */
void mg_linear_weight_gradient_float32(const mg_linear_params *params, const float *x, const float *dy,
                                       float *dw) {
    const int32_t rows = params->rows;
    const int32_t inputs = params->inputs;
    const int32_t outputs = params->outputs;
    for (int32_t output = 0; output < outputs; ++output) {
        int32_t input = 0;
        for (; input + 4 <= inputs; input += 4) {
            const float *from = x + input;
            const float *gradient = dy + output;
            float sum0 = 0.0f;
            float sum1 = 0.0f;
            float sum2 = 0.0f;
            float sum3 = 0.0f;
            for (int32_t row = 0; row < rows; ++row, from += inputs, gradient += outputs) {
                const float value = *gradient;
                sum0 = mg_fma(value, from[0], sum0);
                sum1 = mg_fma(value, from[1], sum1);
                sum2 = mg_fma(value, from[2], sum2);
                sum3 = mg_fma(value, from[3], sum3);
            }
            *dw++ = sum0;
            *dw++ = sum1;
            *dw++ = sum2;
            *dw++ = sum3;
        }
        for (; input < inputs; ++input) {
            float sum = 0.0f;
            for (int32_t row = 0; row < rows; ++row) {
                sum = mg_fma(dy[row * outputs + output], x[row * inputs + input], sum);
            }
            *dw++ = sum;
        }
    }
}
