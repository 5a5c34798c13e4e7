#include "mg_four.h"
#include "mg_linear.h"

/* Eight inputs at a time: the sum over outputs walks down neighbouring columns of the weight. */
void mg_linear_input_gradient_float32(const mg_linear_params *params, const float *dy, const float *weight,
                                      float *dx) {
    const int32_t inputs = params->inputs;
    const int32_t outputs = params->outputs;
    for (int32_t row = 0; row < params->rows; ++row, dy += outputs, dx += inputs) {
        int32_t input = 0;
        for (; input + 8 <= inputs; input += 8) {
            mg_eight sum;
            sum.first = sum.second = mg_four_zero();
            sum = mg_eight_combine(dy, weight + input, inputs, outputs, sum);
            mg_four_store(sum.first, dx + input);
            mg_four_store(sum.second, dx + input + 4);
        }
        for (; input + 4 <= inputs; input += 4) {
            mg_four_store(mg_four_combine(dy, weight + input, inputs, outputs, mg_four_zero()), dx + input);
        }
        for (; input < inputs; ++input) {
            const float *w = weight + input;
            float sum = 0.0f;
            for (int32_t output = 0; output < outputs; ++output, w += inputs) {
                sum = mg_fma(dy[output], *w, sum);
            }
            dx[input] = sum;
        }
    }
}
