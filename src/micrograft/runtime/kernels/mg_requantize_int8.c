#include "mg_codes.h"

void mg_requantize_int8(const mg_requantize_params *params, const int8_t *x, int8_t *y) {
    const mg_code_range *const range = &params->y;
    for (int32_t i = 0; i < params->size; ++i) {
        y[i] = mg_code(range, mg_rescaled(range, x[i] - params->x_zero, params->multiplier, params->shift));
    }
}
