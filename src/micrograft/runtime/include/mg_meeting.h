/* Where two tensors meet, as a window slides: a grid of places, at which their elements are multiplied and summed.
 * All of a depthwise convolution is such sums, and so is every weight's gradient. */
#ifndef MG_MEETING_H
#define MG_MEETING_H

#include "mg_four.h"

/* The grid, and the steps from one place to the next in either tensor. */
typedef struct {
    int32_t rows, columns;
    int32_t left_row, left_column, right_row, right_column;
} mg_meeting;

/* Adds the products to sum, row by row. */
static inline float mg_meeting_one(const mg_meeting *m, const float *left, const float *right, float sum) {
    for (int32_t row = m->rows; row > 0; --row, left += m->left_row, right += m->right_row) {
        const float *a = left;
        const float *b = right;
        for (int32_t column = m->columns; column > 0; --column, a += m->left_column, b += m->right_column) {
            sum = mg_fma(*a, *b, sum);
        }
    }
    return sum;
}

/* The same for four neighbours in either tensor. */
static inline mg_four mg_meeting_four(const mg_meeting *m, const float *left, const float *right, mg_four sum) {
    for (int32_t row = m->rows; row > 0; --row, left += m->left_row, right += m->right_row) {
        const float *a = left;
        const float *b = right;
        for (int32_t column = m->columns; column > 0; --column, a += m->left_column, b += m->right_column) {
            sum = mg_four_multiply_add(mg_four_load(a), mg_four_load(b), sum);
        }
    }
    return sum;
}

/* The same for eight neighbours. */
static inline mg_eight mg_meeting_eight(const mg_meeting *m, const float *left, const float *right, mg_eight sum) {
    for (int32_t row = m->rows; row > 0; --row, left += m->left_row, right += m->right_row) {
        const float *a = left;
        const float *b = right;
        for (int32_t column = m->columns; column > 0; --column, a += m->left_column, b += m->right_column) {
            sum.first = mg_four_multiply_add(mg_four_load(a), mg_four_load(b), sum.first);
            sum.second = mg_four_multiply_add(mg_four_load(a + 4), mg_four_load(b + 4), sum.second);
        }
    }
    return sum;
}

/* sums: (channels) = start: (channels) or null, plus the products of each channel of left with its own of right. */
static inline void mg_meeting_channels(const mg_meeting *m, const float *left, const float *right, const float *start,
                                       int32_t channels, float *sums) {
    int32_t i = 0;
    for (; i + 8 <= channels; i += 8) {
        mg_eight sum;
        sum.first = start ? mg_four_load(start + i) : mg_four_zero();
        sum.second = start ? mg_four_load(start + i + 4) : mg_four_zero();
        sum = mg_meeting_eight(m, left + i, right + i, sum);
        mg_four_store(sum.first, sums + i);
        mg_four_store(sum.second, sums + i + 4);
    }
    for (; i + 4 <= channels; i += 4) {
        const mg_four sum = start ? mg_four_load(start + i) : mg_four_zero();
        mg_four_store(mg_meeting_four(m, left + i, right + i, sum), sums + i);
    }
    for (; i < channels; ++i) {
        sums[i] = mg_meeting_one(m, left + i, right + i, start ? start[i] : 0.0f);
    }
}

#endif
