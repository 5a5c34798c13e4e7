#include "mg_codes.h"

void mg_mul_int8(const mg_mul_int8_params *params, const int8_t *a, const int8_t *b, int8_t *y) {
    const mg_code_range *const range = &params->y;
    int32_t index[MG_OUTER_AXES] = {0};
    for (int32_t row = 0; row < params->rows; ++row) {
        const int8_t *left = a;
        const int8_t *right = b;
        for (int32_t column = 0; column < params->columns; ++column) {
            const int32_t product = (*left - params->a_zero) * (*right - params->b_zero);
            *y++ = mg_code(range, mg_rescaled(range, product, params->factor[0], params->factor[1]));
            left += params->a_step;
            right += params->b_step;
        }
        const int32_t axis = mg_next_row(params->shape, index);
        a += params->a_jump[axis];
        b += params->b_jump[axis];
    }
}
