#define MG_BLOCK_BITS 16
#include "mg_block_elements_core.h"

void mg_block_mask_gradient_int16(const mg_elements_params *params, const int16_t *dy, const uint8_t *mask, int16_t *dx) {
    mg_block_mask_gradient(params, dy, mask, dx);
}
