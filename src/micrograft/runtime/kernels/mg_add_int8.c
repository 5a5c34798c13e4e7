#include "mg_codes.h"

/* Bits by which codes are raised before they are brought to one scale. */
enum { raised_by = 20 };

/* x times a factor: multiplier and shift. */
static int32_t times(const mg_code_range *range, int32_t x, const int32_t *factor) {
    return mg_rescaled(range, x, factor[0], factor[1]);
}

void mg_add_int8(const mg_add_int8_params *params, const int8_t *a, const int8_t *b, int8_t *y) {
    const mg_code_range *const range = &params->y;
    for (int32_t i = 0; i < params->size; ++i) {
        const int32_t left = mg_shifted_left(a[i] - params->a_zero, raised_by);
        const int32_t right = mg_shifted_left(b[i] - params->b_zero, raised_by);
        const int32_t sum = times(range, left, params->a_factor) + times(range, right, params->b_factor);
        y[i] = mg_code(range, times(range, sum, params->sum_factor));
    }
}
