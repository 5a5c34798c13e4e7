#define MG_BLOCK_BITS 8
#include "mg_block_elements_core.h"

void mg_block_add_int8(const mg_block_add_params *params, const mg_block_int8 *a, const mg_block_int8 *b, const mg_block_int8 *y) {
    mg_block_add(params, a, b, y);
}
