/* Dot products of int8 codes with int32 sums: four outputs at a time, so that each code of x is loaded once. */
#ifndef MG_DOT_INT8_H
#define MG_DOT_INT8_H

#include "mg_fixed_point.h"

typedef struct {
    int32_t a, b, c, d;
} mg_four_sums;

/* The biases of four outputs. */
static inline mg_four_sums mg_four_biases(const int32_t *bias) {
    mg_four_sums sums;
    sums.a = bias[0];
    sums.b = bias[1];
    sums.c = bias[2];
    sums.d = bias[3];
    return sums;
}

/* Adds to each lane the products of x - zero with one of four rows of weights, `row` apart. */
static inline mg_four_sums mg_dot_four_int8(const int8_t *x, int32_t zero, const int8_t *rows, int32_t row,
                                            int32_t length, mg_four_sums sums) {
    const int8_t *a = rows, *b = a + row, *c = b + row, *d = c + row;
    const int8_t *const end = x + length;
    while (x != end) {
        const int32_t value = *x++ - zero;
        sums.a += value * *a++;
        sums.b += value * *b++;
        sums.c += value * *c++;
        sums.d += value * *d++;
    }
    return sums;
}

/* The same for one row. */
static inline int32_t mg_dot_int8(const int8_t *x, int32_t zero, const int8_t *weights, int32_t length, int32_t sum) {
    for (int32_t i = 0; i < length; ++i) {
        sum += (x[i] - zero) * weights[i];
    }
    return sum;
}

/* What a sum becomes. factor: multiplier and shift. */
static inline int8_t mg_code_of_sum(const mg_code_range *range, int32_t sum, const int32_t *factor) {
    return mg_code(range, mg_scaled_sum(range, sum, factor[0], factor[1]));
}

/* What the sums of four neighbouring outputs become. */
static inline void mg_codes_of_four(const mg_code_range *range, mg_four_sums sums, const int32_t *factors, int8_t *y) {
    y[0] = mg_code_of_sum(range, sums.a, factors);
    y[1] = mg_code_of_sum(range, sums.b, factors + 2);
    y[2] = mg_code_of_sum(range, sums.c, factors + 4);
    y[3] = mg_code_of_sum(range, sums.d, factors + 6);
}

#endif
