#include "mg_codes_optimizers.h"

void mg_next_random_int32(const mg_next_random_params *params, int32_t *random) {
    uint32_t word = (uint32_t)*random;
    for (int32_t i = 0; i < params->count; ++i) {
        word = word * 1664525u + 1013904223u;
    }
    *random = (int32_t)word;
}
