#define MG_BLOCK_BITS 16
#include "mg_block_pool_core.h"

void mg_block_max_pool_gradient_int16(const mg_max_pool_params *params, const mg_block_int16 *dy, const void *index, const mg_block_int16 *dx) {
    mg_block_pool_gradient(&params->height, &params->width, params->channels, dy, index, params->index_bytes == 1, dx);
}
