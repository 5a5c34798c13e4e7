/* What mg_block_down_weight_gradient_int8 and _int16 share; MG_BLOCK_BITS says which. Sums are int64. */
#ifndef MG_BLOCK_DOWN_WEIGHT_GRADIENT_H
#define MG_BLOCK_DOWN_WEIGHT_GRADIENT_H

#include "mg_block_core.h"
#include "mg_coded.h"

static inline void mg_block_down_weights(const mg_linear_params *params, const int16_t *down, const mg_element *dy,
                                         mg_narrowing *n, mg_element *dw) {
    const int32_t inputs = params->inputs;
    const int32_t outputs = params->outputs;
    for (int32_t output = 0; output < outputs; ++output) {
        for (int32_t input = 0; input < inputs; ++input) {
            const int16_t *value = down + input;
            const mg_element *gradient = dy + output;
            int64_t sum = 0;
            for (int32_t row = params->rows; row > 0; --row, value += inputs, gradient += outputs) {
                sum += *value * *gradient;
            }
            *dw++ = mg_narrowed_wide(n, sum);
        }
    }
}

static inline void mg_block_down_weight_gradient(const mg_linear_params *params, const int16_t *down,
                                                 const mg_block *dy, const mg_block *dw) {
    mg_narrowing n = mg_narrowing_by(dw->scale[0]);
    do {
        mg_block_down_weights(params, down, dy->codes, &n, dw->codes);
    } while (!mg_settled(&n, dw->scale));
    dw->scale[1] = dy->scale[1] + n.shift;
}

#endif
