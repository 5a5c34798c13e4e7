/* Four neighbouring int8 codes as float32, which is exact: frozen int8 weights in a backward pass. */
#ifndef MG_FOUR_INT8_H
#define MG_FOUR_INT8_H

#include "mg_four.h"

static inline mg_four mg_four_load_int8(const int8_t *from) {
    mg_four result;
    result.a = (float)from[0];
    result.b = (float)from[1];
    result.c = (float)from[2];
    result.d = (float)from[3];
    return result;
}

/* mg_four_combine for codes. */
static inline mg_four mg_four_combine_int8(const float *factors, const int8_t *fours, int32_t step, int32_t count,
                                           mg_four sum) {
    for (; count > 0; --count, fours += step) {
        sum = mg_four_scale_add(*factors++, mg_four_load_int8(fours), sum);
    }
    return sum;
}

#endif
