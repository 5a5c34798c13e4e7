#define MG_BLOCK_BITS 16
#include "mg_block_elements_core.h"

void mg_block_quantize_int16(const mg_elements_params *params, const float *x, const mg_block_int16 *y) {
    mg_block_quantize(params, x, y);
}
