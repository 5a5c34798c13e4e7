#define MG_BLOCK_BITS 8
#include "mg_block_elements_core.h"

void mg_block_rescale_gradient_int8(const mg_rescale_params *params, const mg_block_int8 *dy, const int32_t *factors, const mg_block_int8 *dx) {
    mg_block_rescale_gradient(params, dy, factors, dx);
}
