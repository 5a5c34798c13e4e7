/* What a layer on int8 codes sees of its input from two positions, as int16 without their zero point, side by side; and its
 * products with weights. Where a window leaves the input there are zeros, so that all of a weight's row is one stretch. */
#ifndef MG_COLUMNS_INT8_H
#define MG_COLUMNS_INT8_H

#include "mg_dot_int8.h"
#include "mg_window.h"

/* Where element i of a position (0 or 1) lies: beside the other's; for DSP instructions in fours, the first and the third of
 * four, the second and the fourth, first of one position, then of the other. */
static inline int32_t mg_column_place(int32_t i, int32_t position) {
#if MG_DSP
    return 2 * (i & ~3) + 4 * position + 2 * (i & 1) + (i >> 1 & 1);
#else
    return 2 * i + position;
#endif
}

/* Puts `count` codes less zero from element i on. */
static inline void mg_put_codes(int16_t *columns, int32_t position, int32_t i, const int8_t *codes, int32_t zero,
                                int32_t count) {
    const int32_t end = i + count;
#if MG_DSP
    if ((i & 3) == 0) {
        const mg_pair less = mg_twice(-zero);
        int16_t *to = columns + mg_column_place(i, position);
        for (; i + 4 <= end; i += 4, codes += 4, to += 8) {
            const mg_codes_pairs pairs = mg_load_pairs(less, codes);
            mg_store_pairs(to, pairs.even, pairs.odd);
        }
    }
#endif
    for (; i < end; ++i) {
        columns[mg_column_place(i, position)] = (int16_t)(*codes++ - zero);
    }
}

/* Puts `count` zeros. */
static inline void mg_put_zeros(int16_t *columns, int32_t position, int32_t i, int32_t count) {
    for (const int32_t end = i + count; i < end; ++i) {
        columns[mg_column_place(i, position)] = 0;
    }
}

/* Adds the products of both positions with two rows of weights, the second `step` behind the first (0: the same one);
 * sums: the first position with both rows, then the second. A function of its own, so that its loop has all registers. */
void mg_dot_columns_int8(const int16_t *columns, const int8_t *weight, int32_t step, int32_t length, mg_four_sums *sums);

#endif
