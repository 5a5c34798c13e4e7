#define MG_BLOCK_BITS 16
#include "mg_block_elements_core.h"

void mg_block_dequantize_int16(const mg_block_real_params *params, const mg_block_int16 *x, float *y) {
    mg_block_dequantize(params, x, y);
}
