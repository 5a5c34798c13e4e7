/* The gradient of a weight that joins each output with each channel: sums over the places where x and dy meet. */
#ifndef MG_PRODUCTS_H
#define MG_PRODUCTS_H

#include "mg_meeting.h"

/* Four outputs times four channels: eight loads serve sixteen products. The weights of an output are `size` apart. */
static inline void mg_products_4x4(const mg_meeting *m, const float *x, const float *dy, int32_t size, float *dw) {
    mg_four sum0 = mg_four_zero(), sum1 = sum0, sum2 = sum0, sum3 = sum0;
    for (int32_t row = m->rows; row > 0; --row, x += m->left_row, dy += m->right_row) {
        const float *a = x;
        const float *b = dy;
        for (int32_t column = m->columns; column > 0; --column, a += m->left_column, b += m->right_column) {
            const mg_four values = mg_four_load(a);
            sum0 = mg_four_scale_add(b[0], values, sum0);
            sum1 = mg_four_scale_add(b[1], values, sum1);
            sum2 = mg_four_scale_add(b[2], values, sum2);
            sum3 = mg_four_scale_add(b[3], values, sum3);
        }
    }
    mg_four_store(sum0, dw);
    mg_four_store(sum1, dw + size);
    mg_four_store(sum2, dw + 2 * size);
    mg_four_store(sum3, dw + 3 * size);
}

/* Four outputs times one channel. */
static inline void mg_products_4x1(const mg_meeting *m, const float *x, const float *dy, int32_t size, float *dw) {
    mg_four sum = mg_four_zero();
    for (int32_t row = m->rows; row > 0; --row, x += m->left_row, dy += m->right_row) {
        const float *a = x;
        const float *b = dy;
        for (int32_t column = m->columns; column > 0; --column, a += m->left_column, b += m->right_column) {
            sum = mg_four_scale_add(*a, mg_four_load(b), sum);
        }
    }
    dw[0] = sum.a;
    dw[size] = sum.b;
    dw[2 * size] = sum.c;
    dw[3 * size] = sum.d;
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
            mg_products_4x1(m, x + channel, dy, size, dw + channel);
        }
    }
    for (; outputs > 0; --outputs, ++dy, dw += size) {
        for (int32_t channel = 0; channel < channels; ++channel) {
            dw[channel] = mg_meeting_one(m, x + channel, dy, 0.0f);
        }
    }
}

#endif
