#define MG_BLOCK_BITS 16
#include "mg_block_pool_core.h"

void mg_block_average_pool_gradient_int16(const mg_average_pool_params *params, const mg_block_int16 *dy, const mg_block_int16 *dx) {
    mg_block_pool_gradient(&params->height, &params->width, params->channels, dy, 0, 0, dx);
}
