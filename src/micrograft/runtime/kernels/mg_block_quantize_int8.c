#define MG_BLOCK_BITS 8
#include "mg_block_elements_core.h"

void mg_block_quantize_int8(const mg_elements_params *params, const float *x, const mg_block_int8 *y) {
    mg_block_quantize(params, x, y);
}
