/* Walks over the rows of tensors of up to five axes. The compiler of models works out steps and jumps. */
#ifndef MG_WALK_H
#define MG_WALK_H

#include <stdint.h>

#define MG_OUTER_AXES 4 /* axes outside a row */

/* Moves `index` to the next row and returns the axis that advanced: its jump leads to the row's start. */
static inline int32_t mg_next_row(const int32_t *shape, int32_t *index) {
    int32_t axis = MG_OUTER_AXES - 1;
    while (axis > 0 && ++index[axis] == shape[axis]) {
        index[axis--] = 0;
    }
    return axis;
}

#endif
