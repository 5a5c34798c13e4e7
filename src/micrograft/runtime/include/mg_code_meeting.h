/* Where int8 codes meet gradients, as a window slides: mg_meeting.h with codes on the left, converted as they are read.
 * One accumulator per result, places in order. */
#ifndef MG_CODE_MEETING_H
#define MG_CODE_MEETING_H

#include "mg_four.h"

/* A grid of places, and the steps from one place to the next in either tensor. zero: the code that means 0. */
typedef struct {
    int32_t zero;
    int32_t rows, columns;
    int32_t x_row, x_column, dy_row, dy_column;
} mg_code_meeting;

/* Four neighbouring codes as numbers. */
static inline mg_four mg_four_codes(const int8_t *x, int32_t zero) {
    mg_four result;
    result.a = (float)(x[0] - zero);
    result.b = (float)(x[1] - zero);
    result.c = (float)(x[2] - zero);
    result.d = (float)(x[3] - zero);
    return result;
}

/* The sum of products of one channel of x with one of dy. */
static inline float mg_code_meeting_one(const mg_code_meeting *m, const int8_t *x, const float *dy) {
    float sum = 0.0f;
    for (int32_t row = m->rows; row > 0; --row, x += m->x_row, dy += m->dy_row) {
        const int8_t *code = x;
        const float *gradient = dy;
        for (int32_t column = m->columns; column > 0; --column, code += m->x_column, gradient += m->dy_column) {
            sum = mg_fma((float)(*code - m->zero), *gradient, sum);
        }
    }
    return sum;
}

/* Four neighbouring channels, each with its own of dy. */
static inline mg_four mg_code_meeting_four(const mg_code_meeting *m, const int8_t *x, const float *dy) {
    mg_four sum = mg_four_zero();
    for (int32_t row = m->rows; row > 0; --row, x += m->x_row, dy += m->dy_row) {
        const int8_t *code = x;
        const float *gradient = dy;
        for (int32_t column = m->columns; column > 0; --column, code += m->x_column, gradient += m->dy_column) {
            sum = mg_four_multiply_add(mg_four_codes(code, m->zero), mg_four_load(gradient), sum);
        }
    }
    return sum;
}

/* One channel with four neighbours of dy. */
static inline mg_four mg_code_products_4x1(const mg_code_meeting *m, const int8_t *x, const float *dy) {
    mg_four sum = mg_four_zero();
    for (int32_t row = m->rows; row > 0; --row, x += m->x_row, dy += m->dy_row) {
        const int8_t *code = x;
        const float *gradient = dy;
        for (int32_t column = m->columns; column > 0; --column, code += m->x_column, gradient += m->dy_column) {
            sum = mg_four_scale_add((float)(*code - m->zero), mg_four_load(gradient), sum);
        }
    }
    return sum;
}

/* Four outputs times four channels, each times scale: eight loads serve sixteen products. The weights of an output are
 * `size` apart. */
static inline void mg_code_products_4x4(const mg_code_meeting *m, const int8_t *x, const float *dy, float scale,
                                        int32_t size, float *dw) {
    const mg_four zero = mg_four_zero();
    mg_four sum0 = zero, sum1 = zero, sum2 = zero, sum3 = zero;
    for (int32_t row = m->rows; row > 0; --row, x += m->x_row, dy += m->dy_row) {
        const int8_t *code = x;
        const float *gradient = dy;
        for (int32_t column = m->columns; column > 0; --column, code += m->x_column, gradient += m->dy_column) {
            const mg_four values = mg_four_codes(code, m->zero);
            sum0 = mg_four_scale_add(gradient[0], values, sum0);
            sum1 = mg_four_scale_add(gradient[1], values, sum1);
            sum2 = mg_four_scale_add(gradient[2], values, sum2);
            sum3 = mg_four_scale_add(gradient[3], values, sum3);
        }
    }
    mg_four_store(mg_four_scale_add(scale, sum0, zero), dw);
    mg_four_store(mg_four_scale_add(scale, sum1, zero), dw + size);
    mg_four_store(mg_four_scale_add(scale, sum2, zero), dw + 2 * size);
    mg_four_store(mg_four_scale_add(scale, sum3, zero), dw + 3 * size);
}

#endif
