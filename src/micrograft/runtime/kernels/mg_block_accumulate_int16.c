#define MG_ADDED int16_t
#include "mg_block_accumulate_core.h"

void mg_block_accumulate_int16(const mg_block_add_params *params, const mg_block_int16 *total,
                              const mg_block_int16 *added, const float *factor) {
    mg_block_accumulate(params, total, added->codes, added->scale[1], factor);
}
