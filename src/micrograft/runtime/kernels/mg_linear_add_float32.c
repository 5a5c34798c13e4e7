#include "mg_four.h"
#include "mg_linear.h"

/* Four outputs at a time share each load of x; each has one accumulator, started at its addend. */
void mg_linear_add_float32(const mg_linear_params *params, const float *x, const float *weight, const float *addend,
                           float *y) {
    const int32_t inputs = params->inputs;
    for (int32_t row = 0; row < params->rows; ++row, x += inputs) {
        const float *w = weight;
        int32_t left = params->outputs;
        for (; left >= 4; left -= 4, w += 4 * inputs, addend += 4, y += 4) {
            mg_four_store(mg_four_dot(x, w, inputs, inputs, mg_four_load(addend)), y);
        }
        for (; left > 0; --left) {
            float sum = *addend++;
            for (int32_t input = 0; input < inputs; ++input) {
                sum = mg_fma(x[input], *w++, sum);
            }
            *y++ = sum;
        }
    }
}
