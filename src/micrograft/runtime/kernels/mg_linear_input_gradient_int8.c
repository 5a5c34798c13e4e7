#include "mg_four_int8.h"
#include "mg_linear.h"

/* Four inputs at a time: the sum over outputs walks down neighbouring columns of the weight. */
void mg_linear_input_gradient_int8(const mg_linear_params *params, const float *dy, const int8_t *weight, float *dx) {
    const int32_t inputs = params->inputs;
    const int32_t outputs = params->outputs;
    for (int32_t row = 0; row < params->rows; ++row, dy += outputs, dx += inputs) {
        int32_t input = 0;
        for (; input + 4 <= inputs; input += 4) {
            const mg_four sum = mg_four_combine_int8(dy, weight + input, inputs, outputs, mg_four_zero());
            mg_four_store(sum, dx + input);
        }
        for (; input < inputs; ++input) {
            const int8_t *w = weight + input;
            float sum = 0.0f;
            for (int32_t output = 0; output < outputs; ++output, w += inputs) {
                sum = mg_fma(dy[output], (float)*w, sum);
            }
            dx[input] = sum;
        }
    }
}
