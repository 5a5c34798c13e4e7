#define MG_BLOCK_BITS 8
#include "mg_block_pool_core.h"

void mg_block_average_pool_gradient_int8(const mg_average_pool_params *params, const mg_block_int8 *dy, const mg_block_int8 *dx) {
    mg_block_pool_gradient(&params->height, &params->width, params->channels, dy, 0, 0, dx);
}
