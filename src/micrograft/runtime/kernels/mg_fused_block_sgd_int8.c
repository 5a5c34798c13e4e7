#define MG_BLOCK_BITS 8
#include "mg_fused_block_core.h"

void mg_fused_block_sgd_int8(const mg_fused_block_sgd_params *params, int8_t *codes,
                             const mg_gradient_block_int8 *gradient, const mg_block_step *step) {
    mg_fused_block_sgd(params, codes, gradient, step);
}
