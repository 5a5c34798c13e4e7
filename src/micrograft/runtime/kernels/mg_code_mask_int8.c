#include "mg_codes.h"

void mg_code_mask_int8(const mg_code_mask_params *params, const int8_t *codes, uint8_t *mask) {
    for (int32_t i = 0; i < params->size; i += 8) {
        const int32_t count = params->size - i < 8 ? params->size - i : 8;
        uint32_t bits = 0;
        for (int32_t j = 0; j < count; ++j) {
            const int32_t code = codes[i + j];
            bits |= (uint32_t)(code > params->low && code < params->high) << j;
        }
        *mask++ = (uint8_t)bits;
    }
}
