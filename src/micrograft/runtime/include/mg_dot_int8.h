/* Dot products of int8 codes with int32 sums, four at a time, so that each code serves several products. */
#ifndef MG_DOT_INT8_H
#define MG_DOT_INT8_H

#include "mg_dsp.h"
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

#if MG_DSP
/* Four codes: the first and the third, the second and the fourth. */
typedef struct {
    mg_pair even, odd;
} mg_codes_pairs;

/* Four neighbouring codes, each plus what is in its half of `more`. */
static inline mg_codes_pairs mg_load_pairs(mg_pair more, const int8_t *from) {
    const mg_quad codes = mg_load_quad(from);
    mg_codes_pairs pairs;
    pairs.even = mg_even_codes(more, codes);
    pairs.odd = mg_odd_codes(more, codes);
    return pairs;
}

/* sum plus the products of four numbers with four codes. */
static inline int32_t mg_add_four_products(mg_codes_pairs a, mg_quad b, int32_t sum) {
    return mg_add_products(a.odd, mg_odd(b), mg_add_products(a.even, mg_even(b), sum));
}
#endif

/* Adds to each lane the products of x - zero with one of four rows of weights, `row` apart. */
static inline mg_four_sums mg_dot_four_int8(const int8_t *x, int32_t zero, const int8_t *rows, int32_t row,
                                            int32_t length, mg_four_sums sums) {
    const int8_t *const end = x + length;
    const int8_t *last = rows + 3 * row;
#if MG_DSP
    const mg_pair less = mg_twice(-zero);
    const int8_t *const quads = x + (length & ~3);
    for (; x < quads; x += 4, rows += 4, last += 4) {
        const mg_codes_pairs value = mg_load_pairs(less, x);
        sums.a = mg_add_four_products(value, mg_load_quad(rows), sums.a);
        sums.b = mg_add_four_products(value, mg_load_quad(rows + row), sums.b);
        sums.c = mg_add_four_products(value, mg_load_quad(rows + 2 * row), sums.c);
        sums.d = mg_add_four_products(value, mg_load_quad(last), sums.d);
    }
#endif
    for (; x < end; ++x, ++rows, ++last) {
        const int32_t value = *x - zero;
        sums.a += value * rows[0];
        sums.b += value * rows[row];
        sums.c += value * rows[2 * row];
        sums.d += value * *last;
    }
    return sums;
}

/* One row by one. */
static inline int32_t mg_dot_int8(const int8_t *x, int32_t zero, const int8_t *weights, int32_t length, int32_t sum) {
    int32_t i = 0;
#if MG_DSP
    const mg_pair less = mg_twice(-zero);
    for (; i < (length & ~3); i += 4) {
        sum = mg_add_four_products(mg_load_pairs(less, x + i), mg_load_quad(weights + i), sum);
    }
#endif
    for (; i < length; ++i) {
        sum += (x[i] - zero) * weights[i];
    }
    return sum;
}

/* What the sums of four neighbouring outputs become. factors: multiplier and shift of each. */
static inline void mg_codes_of_four(const mg_code_range *range, mg_four_sums sums, const int32_t *factors, int8_t *y) {
#if MG_FLOAT_UNIT
    if (range->once) {
        y[0] = mg_code_of_product(range, (float)sums.a * mg_factor(factors[0], factors[1]));
        y[1] = mg_code_of_product(range, (float)sums.b * mg_factor(factors[2], factors[3]));
        y[2] = mg_code_of_product(range, (float)sums.c * mg_factor(factors[4], factors[5]));
        y[3] = mg_code_of_product(range, (float)sums.d * mg_factor(factors[6], factors[7]));
        return;
    }
#endif
    y[0] = mg_code_of_sum(range, sums.a, factors);
    y[1] = mg_code_of_sum(range, sums.b, factors + 2);
    y[2] = mg_code_of_sum(range, sums.c, factors + 4);
    y[3] = mg_code_of_sum(range, sums.d, factors + 6);
}

#endif
