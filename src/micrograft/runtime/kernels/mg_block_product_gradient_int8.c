#define MG_BLOCK_BITS 8
#include "mg_block_elements_core.h"

void mg_block_product_gradient_int8(const mg_product_gradient_params *params, const mg_block_int8 *dy,
                                    const int8_t *other, const mg_block_int8 *dx) {
    mg_block_product_gradient(params, dy, other, dx);
}
