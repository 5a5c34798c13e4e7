#define MG_BLOCK_BITS 16
#include "mg_block_weight_gradient.h"

void mg_block_conv_of_codes_weight_gradient_int16(const mg_conv_of_codes_params *params, const int8_t *x, const mg_block_int16 *dy, const mg_block_int16 *dw) {
    mg_block_weight_gradient(params, 0, x, dy, dw);
}
