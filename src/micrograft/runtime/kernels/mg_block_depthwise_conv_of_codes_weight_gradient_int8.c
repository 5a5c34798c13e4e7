#define MG_BLOCK_BITS 8
#include "mg_block_weight_gradient.h"

void mg_block_depthwise_conv_of_codes_weight_gradient_int8(const mg_conv_of_codes_params *params, const int8_t *x, const mg_block_int8 *dy, const mg_block_int8 *dw) {
    mg_block_weight_gradient(params, 1, x, dy, dw);
}
