/* The gradient of a linear layer's input, for the width that MG_BLOCK_BITS says. */
#ifndef MG_BLOCK_LINEAR_INPUT_GRADIENT_H
#define MG_BLOCK_LINEAR_INPUT_GRADIENT_H

#include "mg_block_products.h"

static inline void mg_linear_all_rows(const mg_linear_params *params, const mg_element *dy, const int8_t *weight,
                               mg_narrowing *n, mg_element *dx) {
    const int32_t inputs = params->inputs;
    const int32_t outputs = params->outputs;
    for (int32_t row = 0; row < params->rows; ++row, dy += outputs, dx += inputs) {
        int32_t input = 0;
        for (; input + 4 <= inputs; input += 4) {
            mg_block_four_narrowed(n, mg_block_four_products(dy, weight + input, inputs, outputs, mg_block_four_zero()), dx + input);
        }
        for (; input < inputs; ++input) {
            dx[input] = mg_narrowed_wide(n, mg_block_products(dy, weight + input, inputs, outputs, 0));
        }
    }
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
