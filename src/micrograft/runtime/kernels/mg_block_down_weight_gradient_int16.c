#define MG_BLOCK_BITS 16
#include "mg_block_down_weight_gradient.h"

void mg_block_down_weight_gradient_int16(const mg_linear_params *params, const int16_t *down, const mg_block_int16 *dy,
                                         const mg_block_int16 *dw) {
    mg_block_down_weight_gradient(params, down, dy, dw);
}
