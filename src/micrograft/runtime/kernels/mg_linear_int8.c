#include "mg_linear_int8.h"

#include "mg_dot_int8.h"

/* One row, from an output on. */
static void one_row(const mg_linear_int8_params *params, const int8_t *x, const int8_t *weight,
                    const mg_channels *channels, int32_t output, int8_t *y) {
    for (weight += output * params->inputs; output < params->outputs; ++output, weight += params->inputs) {
        const int32_t sum = mg_dot_int8(x, params->x_zero, weight, params->inputs, channels->bias[output]);
        y[output] = mg_code_of_sum(&params->y, sum, channels->factors + 2 * output);
    }
}

/* Two rows, all outputs but an odd one at their end. */
static void two_rows(const mg_linear_int8_params *params, const int8_t *x, const int8_t *weight,
                     const mg_channels *channels, int8_t *y) {
    const mg_code_range range = params->y; /* copied, as a store of int8 may alias anything */
    const int32_t inputs = params->inputs, outputs = params->outputs, zero = params->x_zero;
    const int32_t *bias = channels->bias;
    const int32_t *factor = channels->factors;
    int8_t *const end = y + (outputs & ~1);
    for (; y != end; y += 2, weight += 2 * inputs, bias += 2, factor += 4) {
        mg_four_sums sums;
        sums.a = sums.c = bias[0];
        sums.b = sums.d = bias[1];
        mg_dot_two_by_two_int8(x, zero, weight, inputs, &sums);
        y[0] = mg_code_of_sum(&range, sums.a, factor);
        y[outputs] = mg_code_of_sum(&range, sums.c, factor);
        y[1] = mg_code_of_sum(&range, sums.b, factor + 2);
        y[outputs + 1] = mg_code_of_sum(&range, sums.d, factor + 2);
    }
}

void mg_linear_int8(const mg_linear_int8_params *params, const int8_t *x, const int8_t *weight,
                    const mg_channels *channels, int8_t *y) {
    const int32_t inputs = params->inputs, outputs = params->outputs;
    int32_t row = 0;
    for (; row + 2 <= params->rows; row += 2, x += 2 * inputs, y += 2 * outputs) {
        two_rows(params, x, weight, channels, y);
        if (outputs & 1) {
            one_row(params, x, weight, channels, outputs - 1, y);
            one_row(params, x + inputs, weight, channels, outputs - 1, y + outputs);
        }
    }
    if (row < params->rows) {
        one_row(params, x, weight, channels, 0, y);
    }
}
