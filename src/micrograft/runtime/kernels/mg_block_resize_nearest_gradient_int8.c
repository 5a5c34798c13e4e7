#define MG_BLOCK_BITS 8
#include "mg_block_resize_core.h"

void mg_block_resize_nearest_gradient_int8(const mg_resize_params *params, const mg_block_int8 *dy,
                                           const mg_block_int8 *dx) {
    mg_block_resize_nearest_gradient(params, dy, dx);
}
