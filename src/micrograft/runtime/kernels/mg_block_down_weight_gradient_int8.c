#define MG_BLOCK_BITS 8
#include "mg_block_down_weight_gradient.h"

void mg_block_down_weight_gradient_int8(const mg_linear_params *params, const int16_t *down, const mg_block_int8 *dy,
                                         const mg_block_int8 *dw) {
    mg_block_down_weight_gradient(params, down, dy, dw);
}
