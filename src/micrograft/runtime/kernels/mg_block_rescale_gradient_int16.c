#define MG_BLOCK_BITS 16
#include "mg_block_elements_core.h"

void mg_block_rescale_gradient_int16(const mg_rescale_params *params, const mg_block_int16 *dy, const int32_t *factors, const mg_block_int16 *dx) {
    mg_block_rescale_gradient(params, dy, factors, dx);
}
