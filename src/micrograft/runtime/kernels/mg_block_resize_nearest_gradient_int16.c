#define MG_BLOCK_BITS 16
#include "mg_block_resize_core.h"

void mg_block_resize_nearest_gradient_int16(const mg_resize_params *params, const mg_block_int16 *dy,
                                            const mg_block_int16 *dx) {
    mg_block_resize_nearest_gradient(params, dy, dx);
}
