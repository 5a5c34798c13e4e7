#include "mg_four.h"
#include "mg_linear.h"

/* Four inputs at a time: the sum over outputs walks down four neighbouring columns of the weight. */
void mg_linear_input_gradient_float32(const mg_linear_params *params, const float *dy, const float *weight,
                                      float *dx) {
    const int32_t inputs = params->inputs;
    const int32_t outputs = params->outputs;
    for (int32_t row = 0; row < params->rows; ++row, dy += outputs, dx += inputs) {
        int32_t input = 0;
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
