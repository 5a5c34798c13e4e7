#define MG_BLOCK_BITS 16
#include "mg_block_depthwise_conv_input_gradient.h"

void mg_block_depthwise_conv_input_gradient_int16(const mg_conv_params *params, const mg_block_int16 *dy, const int8_t *weight,
                                                         const mg_block_int16 *dx) {
    mg_block_depthwise_conv_input_gradient(params, dy, weight, dx);
}
