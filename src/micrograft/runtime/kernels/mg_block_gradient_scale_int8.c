#define MG_BLOCK_BITS 8
#include "mg_fused_block_core.h"

void mg_block_gradient_scale_int8(const mg_gradient_int8_params *params, const mg_gradient_block_int8 *gradient) {
    mg_block_gradient_scale(params, gradient);
}
