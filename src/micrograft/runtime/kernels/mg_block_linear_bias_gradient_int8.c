#define MG_BLOCK_BITS 8
#include "mg_block_pool_core.h"

void mg_block_linear_bias_gradient_int8(const mg_linear_params *params, const mg_block_int8 *dy, const mg_block_int8 *db) {
    mg_block_linear_bias_gradient(params, dy, db);
}
