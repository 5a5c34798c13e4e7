#include "mg_four.h"
#include "mg_linear.h"

/* Two rows by four outputs at a time share their loads; each result has one accumulator, started at its addend. */
void mg_linear_add_float32(const mg_linear_params *params, const float *x, const float *weight, const float *addend,
                           float *y) {
    const int32_t inputs = params->inputs;
    const int32_t outputs = params->outputs;
    for (int32_t row = 0; row < params->rows;) {
        const int32_t rows = row + 1 < params->rows ? 2 : 1;
        const float *w = weight;
        int32_t output = 0;
        for (; output + 4 <= outputs; output += 4, w += 4 * inputs) {
            if (rows == 2) {
                mg_eight sum;
                sum.first = mg_four_load(addend + output);
                sum.second = mg_four_load(addend + outputs + output);
                sum = mg_eight_dot(x, x + inputs, w, inputs, inputs, sum);
                mg_four_store(sum.first, y + output);
                mg_four_store(sum.second, y + outputs + output);
            } else {
                mg_four_store(mg_four_dot(x, w, inputs, inputs, mg_four_load(addend + output)), y + output);
            }
        }
        for (; output < outputs; ++output, w += inputs) {
            for (int32_t i = 0; i < rows; ++i) {
                float sum = addend[i * outputs + output];
                for (int32_t input = 0; input < inputs; ++input) {
                    sum = mg_fma(x[i * inputs + input], w[input], sum);
                }
                y[i * outputs + output] = sum;
            }
        }
        row += rows;
        x += rows * inputs;
        y += rows * outputs;
        addend += rows * outputs;
    }
}
