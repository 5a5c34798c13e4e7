#include "mg_linear.h"

#include <stddef.h>

#include "mg_math.h"

/* Four outputs at a time share each load of x; each has one accumulator, started at its bias. */
void mg_linear_float32(const mg_linear_params *params, const float *x, const float *weight, const float *bias,
                       float *y) {
    const int32_t inputs = params->inputs;
    const int32_t outputs = params->outputs;
    for (int32_t row = 0; row < params->rows; ++row, x += inputs) {
        const float *w = weight;
        int32_t output = 0;
        for (; output + 4 <= outputs; output += 4) {
            const float *w1 = w + inputs;
            const float *w2 = w1 + inputs;
            const float *w3 = w2 + inputs;
            float sum0 = bias ? bias[output] : 0.0f;
            float sum1 = bias ? bias[output + 1] : 0.0f;
            float sum2 = bias ? bias[output + 2] : 0.0f;
            float sum3 = bias ? bias[output + 3] : 0.0f;
            for (int32_t input = 0; input < inputs; ++input) {
                const float value = x[input];
                sum0 = mg_fma(value, *w++, sum0);
                sum1 = mg_fma(value, *w1++, sum1);
                sum2 = mg_fma(value, *w2++, sum2);
                sum3 = mg_fma(value, *w3++, sum3);
            }
            w = w3;
            *y++ = sum0;
            *y++ = sum1;
            *y++ = sum2;
            *y++ = sum3;
        }
        for (; output < outputs; ++output) {
            float sum = bias ? bias[output] : 0.0f;
            for (int32_t input = 0; input < inputs; ++input) {
                sum = mg_fma(x[input], *w++, sum);
            }
            *y++ = sum;
        }
    }
}
