#define MG_BLOCK_BITS 8
#include "mg_block_linear_input_gradient.h"

void mg_block_linear_input_gradient_int8(const mg_linear_params *params, const mg_block_int8 *dy, const int8_t *weight,
                                                const mg_block_int8 *dx) {
    mg_block_linear_input_gradient(params, dy, weight, dx);
}
