#define MG_BLOCK_BITS 8
#include "mg_block_elements_core.h"

void mg_block_dequantize_int8(const mg_block_real_params *params, const mg_block_int8 *x, float *y) {
    mg_block_dequantize(params, x, y);
}
