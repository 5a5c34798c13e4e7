/* The gradient of a linear layer's input, for the width that MG_BLOCK_BITS says. */
#ifndef MG_BLOCK_LINEAR_INPUT_GRADIENT_H
#define MG_BLOCK_LINEAR_INPUT_GRADIENT_H

#include "mg_block_products.h"
#include "mg_dot_int8.h"

enum { mg_weight_run = 512 }; /* products of an element with a code of 8 bits that int32 holds in any case */

/* Two rows of dy, of length `outputs`, times columns 0 and 2 of the weight, or 1 and 3. Lanes: here with both, there with
 * both. */
static inline mg_four_sums mg_linear_two_by_two(const mg_element *dy, const int8_t *weight, int32_t inputs,
                                                int32_t outputs, int odd) {
    mg_four_sums sums = {0, 0, 0, 0};
    int32_t left = outputs;
#if MG_DSP
    for (; left >= 2; left -= 2, dy += 2, weight += 2 * inputs) {
        const mg_quad first = mg_load_quad(weight), second = mg_load_quad(weight + inputs);
        const mg_pair one = odd ? mg_odd(first) : mg_even(first);
        const mg_pair other = odd ? mg_odd(second) : mg_even(second);
        const mg_pair column = mg_lower_halves(one, other), next = mg_upper_halves(one, other);
        const mg_pair here = mg_load_elements(dy), there = mg_load_elements(dy + outputs);
        sums.a = mg_add_products(here, column, sums.a);
        sums.b = mg_add_products(here, next, sums.b);
        sums.c = mg_add_products(there, column, sums.c);
        sums.d = mg_add_products(there, next, sums.d);
    }
#endif
    for (weight += odd; left > 0; --left, ++dy, weight += inputs) {
        const int32_t here = dy[0], there = dy[outputs];
        sums.a += here * weight[0];
        sums.b += here * weight[2];
        sums.c += there * weight[0];
        sums.d += there * weight[2];
    }
    return sums;
}

/* Two rows, whole fours of inputs. No more outputs than mg_weight_run. */
static inline void mg_linear_two_rows(const mg_linear_params *params, const mg_element *dy, const int8_t *weight,
                                      mg_narrowing *n, mg_element *dx) {
    const int32_t inputs = params->inputs, outputs = params->outputs;
    for (int32_t left = inputs; left >= 4; left -= 4, weight += 4, dx += 4) {
        mg_four_sums sums = mg_linear_two_by_two(dy, weight, inputs, outputs, 0);
        dx[0] = mg_narrowed(n, sums.a);
        dx[2] = mg_narrowed(n, sums.b);
        dx[inputs] = mg_narrowed(n, sums.c);
        dx[inputs + 2] = mg_narrowed(n, sums.d);
        sums = mg_linear_two_by_two(dy, weight, inputs, outputs, 1);
        dx[1] = mg_narrowed(n, sums.a);
        dx[3] = mg_narrowed(n, sums.b);
        dx[inputs + 1] = mg_narrowed(n, sums.c);
        dx[inputs + 3] = mg_narrowed(n, sums.d);
    }
}

/* One row, from an input on. */
static inline void mg_linear_one_row(const mg_linear_params *params, const mg_element *dy, const int8_t *weight,
                                     int32_t input, mg_narrowing *n, mg_element *dx) {
    const int32_t inputs = params->inputs, outputs = params->outputs;
    for (; input + 4 <= inputs; input += 4) {
        const mg_block_four sum = mg_block_four_products(dy, weight + input, inputs, outputs, mg_block_four_zero());
        mg_block_four_narrowed(n, sum, dx + input);
    }
    for (; input < inputs; ++input) {
        dx[input] = mg_narrowed_wide(n, mg_block_products(dy, weight + input, inputs, outputs, 0));
    }
}

static inline void mg_linear_all_rows(const mg_linear_params *params, const mg_element *dy, const int8_t *weight,
                                      mg_narrowing *n, mg_element *dx) {
    const int32_t inputs = params->inputs, outputs = params->outputs;
    mg_narrowing own = *n; /* copied, as a store of int8 may alias anything */
    int32_t row = 0;
    for (; row + 2 <= params->rows && outputs <= mg_weight_run; row += 2, dy += 2 * outputs, dx += 2 * inputs) {
        mg_linear_two_rows(params, dy, weight, &own, dx);
        if (inputs & 3) {
            mg_linear_one_row(params, dy, weight, inputs & ~3, &own, dx);
            mg_linear_one_row(params, dy + outputs, weight, inputs & ~3, &own, dx + inputs);
        }
    }
    for (; row < params->rows; ++row, dy += outputs, dx += inputs) {
        mg_linear_one_row(params, dy, weight, 0, &own, dx);
    }
    *n = own;
}

static inline void mg_block_linear_input_gradient(const mg_linear_params *params, const mg_block *dy,
                                                  const int8_t *weight, const mg_block *dx) {
    mg_narrowing n = mg_narrowing_by(dx->scale[0]);
    do {
        mg_linear_all_rows(params, dy->codes, weight, &n, dx->codes);
    } while (!mg_settled(&n, dx->scale));
    dx->scale[1] = dy->scale[1] + n.shift;
}

#endif
