#define MG_BLOCK_BITS 8
#include "mg_fused_block_core.h"

void mg_fused_block_square_sum_int8(const mg_fused_block_square_sum_params *params,
                                    const mg_gradient_block_int8 *gradient, const int32_t *weights, float *total) {
    mg_fused_block_square_sum(params, gradient, weights, total);
}
