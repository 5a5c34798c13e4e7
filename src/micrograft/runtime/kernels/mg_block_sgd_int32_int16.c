#define MG_BLOCK_BITS 16
#include "mg_block_update_core.h"

void mg_block_sgd_int32_int16(const mg_block_sgd_params *params, int32_t *codes, const mg_block_int16 *gradient,
                                const mg_block_step *step) {
    const mg_moved_codes found = {0, 0, codes, 0};
    mg_block_sgd(params, found, gradient, step);
}
