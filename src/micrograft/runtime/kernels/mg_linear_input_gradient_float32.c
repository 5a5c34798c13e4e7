#include "mg_linear.h"
#include "mg_math.h"

/* Four inputs at a time: the sum over outputs walks down four neighbouring columns of the weight. */
void mg_linear_input_gradient_float32(const mg_linear_params *params, const float *dy, const float *weight,
                                      float *dx) {
    const int32_t inputs = params->inputs;
    const int32_t outputs = params->outputs;
    for (int32_t row = 0; row < params->rows; ++row, dy += outputs) {
        int32_t input = 0;
        for (; input + 4 <= inputs; input += 4) {
            const float *w = weight + input;
            float sum0 = 0.0f;
            float sum1 = 0.0f;
            float sum2 = 0.0f;
            float sum3 = 0.0f;
            for (int32_t output = 0; output < outputs; ++output, w += inputs) {
                const float value = dy[output];
                sum0 = mg_fma(value, w[0], sum0);
                sum1 = mg_fma(value, w[1], sum1);
                sum2 = mg_fma(value, w[2], sum2);
                sum3 = mg_fma(value, w[3], sum3);
            }
            *dx++ = sum0;
            *dx++ = sum1;
            *dx++ = sum2;
            *dx++ = sum3;
        }
        for (; input < inputs; ++input) {
            const float *w = weight + input;
            float sum = 0.0f;
            for (int32_t output = 0; output < outputs; ++output, w += inputs) {
                sum = mg_fma(dy[output], *w, sum);
            }
            *dx++ = sum;
        }
    }
}
