#include "mg_choice.h"

void mg_maximum_int8(const mg_broadcast_params *params, const int8_t *a, const int8_t *b, int8_t *y, uint8_t *left,
                     uint8_t *right) {
    int32_t index[MG_OUTER_AXES] = {0};
    int32_t element = 0;
    for (int32_t row = 0; row < params->rows; ++row) {
        const int8_t *first = a;
        const int8_t *second = b;
        for (int32_t column = 0; column < params->columns; ++column, ++element) {
            const int8_t one = *first;
            const int8_t other = *second;
            if (left) {
                mg_put_bit(left, element, one >= other);
            }
            if (right) {
                mg_put_bit(right, element, other >= one);
            }
            y[element] = one >= other ? one : other;
            first += params->a_step;
            second += params->b_step;
        }
        const int32_t axis = mg_next_row(params->shape, index);
        a += params->a_jump[axis];
        b += params->b_jump[axis];
    }
}
