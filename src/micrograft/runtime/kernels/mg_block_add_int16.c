#define MG_BLOCK_BITS 16
#include "mg_block_elements_core.h"

void mg_block_add_int16(const mg_block_add_params *params, const mg_block_int16 *a, const mg_block_int16 *b, const mg_block_int16 *y) {
    mg_block_add(params, a, b, y);
}
