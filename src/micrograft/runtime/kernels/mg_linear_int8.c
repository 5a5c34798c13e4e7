#include "mg_linear_int8.h"

#include "mg_dot_int8.h"

/* Two rows by two outputs: four loads serve four products. The sums start at the outputs' biases. */
static mg_four_sums two_by_two(const int8_t *x, const int8_t *next, int32_t zero, const int8_t *weight,
                               const int8_t *other, int32_t length, mg_four_sums sums) {
    const int8_t *const end = x + length;
    while (x != end) {
        const int32_t here = *x++ - zero;
        const int32_t there = *next++ - zero;
        const int32_t first = *weight++;
        const int32_t second = *other++;
        sums.a += here * first;
        sums.b += here * second;
        sums.c += there * first;
        sums.d += there * second;
    }
    return sums;
}

/* One row, from an output on. */
static void one_row(const mg_linear_int8_params *params, const int8_t *x, const int8_t *weight,
                    const mg_channels *channels, int32_t output, int8_t *y) {
    for (weight += output * params->inputs; output < params->outputs; ++output, weight += params->inputs) {
        const int32_t sum = mg_dot_int8(x, params->x_zero, weight, params->inputs, channels->bias[output]);
        y[output] = mg_code_of_sum(&params->y, sum, channels->factors + 2 * output);
    }
}

void mg_linear_int8(const mg_linear_int8_params *params, const int8_t *x, const int8_t *weight,
                    const mg_channels *channels, int8_t *y) {
    const mg_code_range *const range = &params->y;
    const int32_t inputs = params->inputs, outputs = params->outputs, zero = params->x_zero;
    int32_t row = 0;
    for (; row + 2 <= params->rows; row += 2, x += 2 * inputs, y += 2 * outputs) {
        const int8_t *w = weight;
        const int32_t *factor = channels->factors;
        int32_t output = 0;
        for (; output + 2 <= outputs; output += 2, w += 2 * inputs, factor += 4) {
            mg_four_sums sums;
            sums.a = sums.c = channels->bias[output];
            sums.b = sums.d = channels->bias[output + 1];
            sums = two_by_two(x, x + inputs, zero, w, w + inputs, inputs, sums);
            y[output] = mg_code_of_sum(range, sums.a, factor);
            y[output + 1] = mg_code_of_sum(range, sums.b, factor + 2);
            y[outputs + output] = mg_code_of_sum(range, sums.c, factor);
            y[outputs + output + 1] = mg_code_of_sum(range, sums.d, factor + 2);
        }
        one_row(params, x, weight, channels, output, y);
        one_row(params, x + inputs, weight, channels, output, y + outputs);
    }
    if (row < params->rows) {
        one_row(params, x, weight, channels, 0, y);
    }
}
