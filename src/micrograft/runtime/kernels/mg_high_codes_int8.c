#include "mg_coded.h"

void mg_high_codes_int8(const mg_elements_params *params, const int16_t *x, int8_t *y) {
    for (int32_t i = 0; i < params->size; ++i) {
        const int32_t code = (x[i] + 128) >> 8;
        y[i] = (int8_t)(code > 127 ? 127 : code);
    }
}
