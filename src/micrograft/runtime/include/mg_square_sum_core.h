/* The sum of squares of mg_square_sum_float32, part by part. */
#ifndef MG_SQUARE_SUM_CORE_H
#define MG_SQUARE_SUM_CORE_H

#include "mg_math.h"

/* Adds the squares of the part that begins at element `from` of `size`. Four accumulators, taken in turn; the elements
 * behind the last four of all go to the first. */
static inline void mg_add_squares(const float *part, int32_t from, int32_t count, int32_t size, float sums[4]) {
    const int32_t even = size / 4 * 4 - from;
    const int32_t turns = even < 0 ? 0 : even < count ? even : count;
    for (int32_t lane = 0; lane < 4; ++lane) {
        float sum = sums[lane];
        for (int32_t i = (lane + 4 - from % 4) % 4; i < turns; i += 4) {
            sum = mg_fma(part[i], part[i], sum);
        }
        sums[lane] = sum;
    }
    for (int32_t i = turns; i < count; ++i) {
        sums[0] = mg_fma(part[i], part[i], sums[0]);
    }
}

#endif
