#include "mg_four_int8.h"
#include "mg_linear.h"

/* Four rows by four inputs: a weight is converted once for four products. Both are `step` apart to the next row, and
 * outputs are added in order. */
static void four_rows(const float *dy, const int8_t *weight, int32_t inputs, int32_t outputs, float *dx) {
    const float *const second = dy + outputs, *const third = second + outputs, *const fourth = third + outputs;
    mg_four sum0 = mg_four_zero(), sum1 = sum0, sum2 = sum0, sum3 = sum0;
    for (int32_t output = 0; output < outputs; ++output, weight += inputs) {
        const mg_four values = mg_four_load_int8(weight);
        sum0 = mg_four_scale_add(dy[output], values, sum0);
        sum1 = mg_four_scale_add(second[output], values, sum1);
        sum2 = mg_four_scale_add(third[output], values, sum2);
        sum3 = mg_four_scale_add(fourth[output], values, sum3);
    }
    mg_four_store(sum0, dx);
    mg_four_store(sum1, dx + inputs);
    mg_four_store(sum2, dx + 2 * inputs);
    mg_four_store(sum3, dx + 3 * inputs);
}

/* One row, from an input on. */
static void one_row(const float *dy, const int8_t *weight, int32_t input, const mg_linear_params *params, float *dx) {
    const int32_t inputs = params->inputs;
    for (; input + 4 <= inputs; input += 4) {
        const mg_four sum = mg_four_combine_int8(dy, weight + input, inputs, params->outputs, mg_four_zero());
        mg_four_store(sum, dx + input);
    }
    for (; input < inputs; ++input) {
        const int8_t *w = weight + input;
        float sum = 0.0f;
        for (int32_t output = 0; output < params->outputs; ++output, w += inputs) {
            sum = mg_fma(dy[output], (float)*w, sum);
        }
        dx[input] = sum;
    }
}

void mg_linear_input_gradient_int8(const mg_linear_params *params, const float *dy, const int8_t *weight, float *dx) {
    const int32_t inputs = params->inputs;
    const int32_t outputs = params->outputs;
    int32_t row = 0;
    for (; row + 4 <= params->rows; row += 4, dy += 4 * outputs, dx += 4 * inputs) {
        const int32_t whole = inputs & ~3;
        for (int32_t input = 0; input < whole; input += 4) {
            four_rows(dy, weight + input, inputs, outputs, dx + input);
        }
        for (int32_t i = 0; whole < inputs && i < 4; ++i) {
            one_row(dy + i * outputs, weight, whole, params, dx + i * inputs);
        }
    }
    for (; row < params->rows; ++row, dy += outputs, dx += inputs) {
        one_row(dy, weight, 0, params, dx);
    }
}
