#include "mg_choice.h"

void mg_greater_float32(const mg_broadcast_params *params, const float *a, const float *b, float *y) {
    int32_t index[MG_OUTER_AXES] = {0};
    for (int32_t row = 0; row < params->rows; ++row) {
        const float *left = a;
        const float *right = b;
        for (int32_t column = 0; column < params->columns; ++column) {
            *y++ = *left > *right ? 1.0f : 0.0f;
            left += params->a_step;
            right += params->b_step;
        }
        const int32_t axis = mg_next_row(params->shape, index);
        a += params->a_jump[axis];
        b += params->b_jump[axis];
    }
}
