#include "mg_choice.h"

void mg_where_float32(const mg_where_params *params, const float *condition, const float *a, const float *b, float *y) {
    int32_t index[MG_OUTER_AXES] = {0};
    for (int32_t row = 0; row < params->rows; ++row) {
        for (int32_t column = 0; column < params->columns; ++column) {
            const float chosen = condition[column * params->condition_step];
            *y++ = chosen != 0.0f ? a[column * params->a_step] : b[column * params->b_step];
        }
        const int32_t axis = mg_next_row(params->shape, index);
        condition += params->condition_jump[axis];
        a += params->a_jump[axis];
        b += params->b_jump[axis];
    }
}
