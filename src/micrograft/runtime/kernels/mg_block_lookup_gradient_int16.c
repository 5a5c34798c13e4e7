#define MG_BLOCK_BITS 16
#include "mg_block_elements_core.h"

void mg_block_lookup_gradient_int16(const mg_lookup_gradient_params *params, const mg_block_int16 *dy, const int8_t *x,
                                    const int16_t *slopes, const mg_block_int16 *dx) {
    mg_block_lookup_gradient(params, dy, x, slopes, dx);
}
