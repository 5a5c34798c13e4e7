#define MG_BLOCK_BITS 16
#include "mg_block_pool_core.h"

void mg_block_linear_bias_gradient_int16(const mg_linear_params *params, const mg_block_int16 *dy, const mg_block_int16 *db) {
    mg_block_linear_bias_gradient(params, dy, db);
}
