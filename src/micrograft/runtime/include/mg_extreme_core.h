/* The larger or the smaller of two, for the type that MG_NUMBER names. MG_BEATS(a, b) says whether a is chosen or equal;
 * MG_FIRST(a, b) whether y gets a. */
#ifndef MG_EXTREME_CORE_H
#define MG_EXTREME_CORE_H

#include "mg_choice.h"

#ifndef MG_NUMBER
#define MG_NUMBER float
#define MG_BEATS(a, b) ((a) >= (b))
#define MG_FIRST(a, b) (MG_BEATS(a, b) || (a) != (a))
#endif

static inline void mg_extreme(const mg_broadcast_params *params, const MG_NUMBER *a, const MG_NUMBER *b, MG_NUMBER *y,
                              uint8_t *left, uint8_t *right) {
    int32_t index[MG_OUTER_AXES] = {0};
    int32_t element = 0;
    for (int32_t row = 0; row < params->rows; ++row) {
        const MG_NUMBER *first = a;
        const MG_NUMBER *second = b;
        for (int32_t column = 0; column < params->columns; ++column, ++element) {
            const MG_NUMBER one = *first;
            const MG_NUMBER other = *second;
            if (left) {
                mg_put_bit(left, element, MG_BEATS(one, other));
            }
            if (right) {
                mg_put_bit(right, element, MG_BEATS(other, one));
            }
            y[element] = MG_FIRST(one, other) ? one : other;
            first += params->a_step;
            second += params->b_step;
        }
        const int32_t axis = mg_next_row(params->shape, index);
        a += params->a_jump[axis];
        b += params->b_jump[axis];
    }
}

#endif
