#define MG_BLOCK_BITS 8
#include "mg_block_elements_core.h"

void mg_block_mask_gradient_int8(const mg_elements_params *params, const int8_t *dy, const uint8_t *mask, int8_t *dx) {
    mg_block_mask_gradient(params, dy, mask, dx);
}
