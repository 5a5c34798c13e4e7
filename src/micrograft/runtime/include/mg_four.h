/* Four float32 side by side, as four registers: what most kernels compute at once. Lanes never mix. */
#ifndef MG_FOUR_H
#define MG_FOUR_H

#include "mg_math.h"

typedef struct {
    float a, b, c, d;
} mg_four;

static inline mg_four mg_four_load(const float *from) {
    mg_four result;
    result.a = from[0];
    result.b = from[1];
    result.c = from[2];
    result.d = from[3];
    return result;
}

static inline void mg_four_store(mg_four value, float *to) {
    to[0] = value.a;
    to[1] = value.b;
    to[2] = value.c;
    to[3] = value.d;
}

static inline mg_four mg_four_zero(void) {
    const mg_four result = {0.0f, 0.0f, 0.0f, 0.0f};
    return result;
}

/* factor * value + sum, each lane rounded once. */
static inline mg_four mg_four_scale_add(float factor, mg_four value, mg_four sum) {
    sum.a = mg_fma(factor, value.a, sum.a);
    sum.b = mg_fma(factor, value.b, sum.b);
    sum.c = mg_fma(factor, value.c, sum.c);
    sum.d = mg_fma(factor, value.d, sum.d);
    return sum;
}

/* left * right + sum, lane by lane, each rounded once. */
static inline mg_four mg_four_multiply_add(mg_four left, mg_four right, mg_four sum) {
    sum.a = mg_fma(left.a, right.a, sum.a);
    sum.b = mg_fma(left.b, right.b, sum.b);
    sum.c = mg_fma(left.c, right.c, sum.c);
    sum.d = mg_fma(left.d, right.d, sum.d);
    return sum;
}

/* Element i of four rows, `row` apart. */
static inline mg_four mg_four_column(const float *rows, int32_t row, int32_t i) {
    mg_four result;
    result.a = rows[i];
    result.b = rows[row + i];
    result.c = rows[2 * row + i];
    result.d = rows[3 * row + i];
    return result;
}

/* Adds to each lane the dot product of x with one of four rows, `row` apart, first element first. */
static inline mg_four mg_four_dot(const float *x, const float *rows, int32_t row, int32_t length, mg_four sum) {
    for (; length >= 4; length -= 4, x += 4, rows += 4) {
        sum = mg_four_scale_add(x[0], mg_four_column(rows, row, 0), sum);
        sum = mg_four_scale_add(x[1], mg_four_column(rows, row, 1), sum);
        sum = mg_four_scale_add(x[2], mg_four_column(rows, row, 2), sum);
        sum = mg_four_scale_add(x[3], mg_four_column(rows, row, 3), sum);
    }
    for (; length > 0; --length) {
        sum = mg_four_scale_add(*x++, mg_four_column(rows++, row, 0), sum);
    }
    return sum;
}

/* Adds `count` fours, `step` apart, each times its own factor, first one first. */
static inline mg_four mg_four_combine(const float *factors, const float *fours, int32_t step, int32_t count,
                                      mg_four sum) {
    for (; count >= 4; count -= 4, factors += 4, fours += step) {
        sum = mg_four_scale_add(factors[0], mg_four_load(fours), sum);
        fours += step;
        sum = mg_four_scale_add(factors[1], mg_four_load(fours), sum);
        fours += step;
        sum = mg_four_scale_add(factors[2], mg_four_load(fours), sum);
        fours += step;
        sum = mg_four_scale_add(factors[3], mg_four_load(fours), sum);
    }
    for (; count > 0; --count, fours += step) {
        sum = mg_four_scale_add(*factors++, mg_four_load(fours), sum);
    }
    return sum;
}

/* Two fours: two positions of four channels, or eight channels. */
typedef struct {
    mg_four first, second;
} mg_eight;

/* factor * value + sum, each of the eight rounded once. */
static inline mg_eight mg_eight_scale_add(float factor, const float *value, mg_eight sum) {
    sum.first = mg_four_scale_add(factor, mg_four_load(value), sum.first);
    sum.second = mg_four_scale_add(factor, mg_four_load(value + 4), sum.second);
    return sum;
}

/* mg_four_combine for eight neighbours, so that each factor is loaded half as often. */
static inline mg_eight mg_eight_combine(const float *factors, const float *eights, int32_t step, int32_t count,
                                        mg_eight sum) {
    for (; count >= 2; count -= 2, factors += 2, eights += step) {
        sum = mg_eight_scale_add(factors[0], eights, sum);
        eights += step;
        sum = mg_eight_scale_add(factors[1], eights, sum);
    }
    return count > 0 ? mg_eight_scale_add(*factors, eights, sum) : sum;
}

/* One element of two x, times one column of four rows. */
static inline mg_eight mg_eight_step(float x, float next, mg_four column, mg_eight sum) {
    sum.first = mg_four_scale_add(x, column, sum.first);
    sum.second = mg_four_scale_add(next, column, sum.second);
    return sum;
}

/* mg_four_dot of two x at once, so that each element of the rows is loaded once. */
static inline mg_eight mg_eight_dot(const float *x, const float *next, const float *rows, int32_t row, int32_t length,
                                    mg_eight sum) {
    for (; length >= 4; length -= 4, x += 4, next += 4, rows += 4) {
        sum = mg_eight_step(x[0], next[0], mg_four_column(rows, row, 0), sum);
        sum = mg_eight_step(x[1], next[1], mg_four_column(rows, row, 1), sum);
        sum = mg_eight_step(x[2], next[2], mg_four_column(rows, row, 2), sum);
        sum = mg_eight_step(x[3], next[3], mg_four_column(rows, row, 3), sum);
    }
    for (; length > 0; --length) {
        sum = mg_eight_step(*x++, *next++, mg_four_column(rows++, row, 0), sum);
    }
    return sum;
}

#endif
