#define MG_BLOCK_BITS 16
#include "mg_block_elements_core.h"

void mg_block_product_gradient_int16(const mg_product_gradient_params *params, const mg_block_int16 *dy,
                                     const int8_t *other, const mg_block_int16 *dx) {
    mg_block_product_gradient(params, dy, other, dx);
}
