/* A weight's gradient, whatever the layer: the sum of products of x and dy over the places where they meet. */
#ifndef MG_PRODUCTS_H
#define MG_PRODUCTS_H

#include "mg_four.h"

/* The places, `rows` times `columns` of them, with the steps from one to the next in x and in dy. */
typedef struct {
    int32_t rows, columns;
    int32_t x_row, x_column, dy_row, dy_column;
} mg_meeting;

/* Four outputs times four channels: eight loads serve sixteen products. */
static inline void mg_products_4x4(const mg_meeting *m, const float *x, const float *dy, int32_t size, float *dw) {
    mg_four sum0 = mg_four_zero(), sum1 = sum0, sum2 = sum0, sum3 = sum0;
    for (int32_t row = m->rows; row > 0; --row, x += m->x_row, dy += m->dy_row) {
        const float *value = x;
        const float *gradient = dy;
        for (int32_t column = m->columns; column > 0; --column, value += m->x_column, gradient += m->dy_column) {
            const mg_four values = mg_four_load(value);
            sum0 = mg_four_scale_add(gradient[0], values, sum0);
            sum1 = mg_four_scale_add(gradient[1], values, sum1);
            sum2 = mg_four_scale_add(gradient[2], values, sum2);
            sum3 = mg_four_scale_add(gradient[3], values, sum3);
        }
    }
    mg_four_store(sum0, dw);
    mg_four_store(sum1, dw + size);
    mg_four_store(sum2, dw + 2 * size);
    mg_four_store(sum3, dw + 3 * size);
}

/* Four outputs times one channel. */
static inline mg_four mg_products_4x1(const mg_meeting *m, const float *x, const float *dy) {
    mg_four sum = mg_four_zero();
    for (int32_t row = m->rows; row > 0; --row, x += m->x_row, dy += m->dy_row) {
        const float *value = x;
        const float *gradient = dy;
        for (int32_t column = m->columns; column > 0; --column, value += m->x_column, gradient += m->dy_column) {
            sum = mg_four_scale_add(*value, mg_four_load(gradient), sum);
        }
    }
    return sum;
}

/* One output times one channel. */
static inline float mg_products_1x1(const mg_meeting *m, const float *x, const float *dy) {
    float sum = 0.0f;
    for (int32_t row = m->rows; row > 0; --row, x += m->x_row, dy += m->dy_row) {
        const float *value = x;
        const float *gradient = dy;
        for (int32_t column = m->columns; column > 0; --column, value += m->x_column, gradient += m->dy_column) {
            sum = mg_fma(*gradient, *value, sum);
        }
    }
    return sum;
}

/* dw: (outputs, channels), the weights of an output `size` apart. Each has one accumulator; places in order. */
static inline void mg_products(const mg_meeting *m, const float *x, const float *dy, int32_t outputs, int32_t channels,
                               int32_t size, float *dw) {
    for (; outputs >= 4; outputs -= 4, dy += 4, dw += 4 * size) {
        int32_t channel = 0;
        for (; channel + 4 <= channels; channel += 4) {
            mg_products_4x4(m, x + channel, dy, size, dw + channel);
        }
        for (; channel < channels; ++channel) {
            const mg_four sum = mg_products_4x1(m, x + channel, dy);
            dw[channel] = sum.a;
            dw[size + channel] = sum.b;
            dw[2 * size + channel] = sum.c;
            dw[3 * size + channel] = sum.d;
        }
    }
    for (; outputs > 0; --outputs, ++dy, dw += size) {
        for (int32_t channel = 0; channel < channels; ++channel) {
            dw[channel] = mg_products_1x1(m, x + channel, dy);
        }
    }
}

#endif
