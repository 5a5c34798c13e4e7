#include "mg_choice.h"

void mg_maximum_float32(const mg_broadcast_params *params, const float *a, const float *b, float *y, uint8_t *left,
                        uint8_t *right) {
    int32_t index[MG_OUTER_AXES] = {0};
    int32_t element = 0;
    for (int32_t row = 0; row < params->rows; ++row) {
        const float *first = a;
        const float *second = b;
        for (int32_t column = 0; column < params->columns; ++column, ++element) {
            const float one = *first;
            const float other = *second;
            if (left) {
                mg_put_bit(left, element, one >= other);
            }
            if (right) {
                mg_put_bit(right, element, other >= one);
            }
            y[element] = one >= other || one != one ? one : other;
            first += params->a_step;
            second += params->b_step;
        }
        const int32_t axis = mg_next_row(params->shape, index);
        a += params->a_jump[axis];
        b += params->b_jump[axis];
    }
}
