#include "mg_codes.h"

void mg_wrapping_sub_int8(const mg_wrapping_params *params, const int8_t *a, const int8_t *b, int8_t *y) {
    for (int32_t i = 0; i < params->size; ++i) {
        y[i] = mg_wrapped((uint32_t)a[i] - (uint32_t)b[i] + (uint32_t)params->zero);
    }
}
