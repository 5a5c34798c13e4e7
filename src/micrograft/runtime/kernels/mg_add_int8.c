#include "mg_codes.h"

/* Bits by which codes are raised before they are brought to one scale. */
enum { raised_by = 20 };

/* Steps from zero, raised, times a factor: multiplier and shift. */
static int32_t raised(const mg_code_range *range, int32_t steps, const int32_t *factor) {
    return mg_rescaled(range, mg_shifted_left(steps, raised_by), factor[0], factor[1]);
}

void mg_add_int8(const mg_add_int8_params *params, const int8_t *a, const int8_t *b, int8_t *y) {
    const mg_code_range *const range = &params->y;
    int32_t index[MG_OUTER_AXES] = {0};
    for (int32_t row = 0; row < params->rows; ++row) {
        const int8_t *left = a;
        const int8_t *right = b;
        for (int32_t column = 0; column < params->columns; ++column) {
            const int32_t sum = raised(range, *left - params->a_zero, params->a_factor) +
                                params->b_sign * raised(range, *right - params->b_zero, params->b_factor);
            *y++ = mg_code(range, mg_rescaled(range, sum, params->sum_factor[0], params->sum_factor[1]));
            left += params->a_step;
            right += params->b_step;
        }
        const int32_t axis = mg_next_row(params->shape, index);
        a += params->a_jump[axis];
        b += params->b_jump[axis];
    }
}
