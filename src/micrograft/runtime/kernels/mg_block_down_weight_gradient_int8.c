#define MG_BLOCK_BITS 8
#include "mg_block_core.h"
#include "mg_coded.h"

static void all_weights(const mg_linear_params *params, const int16_t *down, const mg_element *dy, mg_narrowing *n,
                        mg_element *dw) {
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

void mg_block_down_weight_gradient_int8(const mg_linear_params *params, const int16_t *down, const mg_block_int8 *dy,
                                         const mg_block_int8 *dw) {
    mg_narrowing n = mg_narrowing_by(dw->scale[0]);
    do {
        all_weights(params, down, dy->codes, &n, dw->codes);
    } while (!mg_settled(&n, dw->scale));
    dw->scale[1] = dy->scale[1] + n.shift;
}
