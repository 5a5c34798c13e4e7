#define MG_BLOCK_BITS 8
#include "mg_block_update_core.h"

void mg_block_sgd_int8_int8(const mg_block_sgd_params *params, int8_t *codes, const mg_block_int8 *gradient,
                                const mg_block_step *step) {
    const mg_moved_codes found = {codes, 0, 0, 0};
    mg_block_sgd(params, found, gradient, step);
}
