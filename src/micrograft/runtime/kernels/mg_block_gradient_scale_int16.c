#define MG_BLOCK_BITS 16
#include "mg_fused_block_core.h"

void mg_block_gradient_scale_int16(const mg_gradient_int8_params *params, const mg_gradient_block_int16 *gradient) {
    mg_block_gradient_scale(params, gradient);
}
