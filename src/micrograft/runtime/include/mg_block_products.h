/* Sums of products of a gradient's codes with four neighbours at a time. */
#ifndef MG_BLOCK_PRODUCTS_H
#define MG_BLOCK_PRODUCTS_H

#include "mg_block_core.h"

typedef struct {
    int64_t a, b, c, d;
} mg_block_four;

static inline mg_block_four mg_block_four_zero(void) {
    const mg_block_four zero = {0, 0, 0, 0};
    return zero;
}

/* Adds to each lane what `count` elements make with one of four neighbouring weights, `step` apart. */
static inline mg_block_four mg_block_four_products(const mg_element *dy, const int8_t *weight, int32_t step, int32_t count,
                                            mg_block_four sum) {
    while (count > 0) {
        const int32_t run = count < mg_run ? count : mg_run;
        const mg_element *const end = dy + run;
        int32_t a = 0, b = 0, c = 0, d = 0;
        for (; dy != end; weight += step) {
            const int32_t element = *dy++;
            a += element * weight[0];
            b += element * weight[1];
            c += element * weight[2];
            d += element * weight[3];
        }
        sum.a += a;
        sum.b += b;
        sum.c += c;
        sum.d += d;
        count -= run;
    }
    return sum;
}

/* The same for one lane. */
static inline int64_t mg_block_products(const mg_element *dy, const int8_t *weight, int32_t step, int32_t count,
                                  int64_t sum) {
    while (count > 0) {
        const int32_t run = count < mg_run ? count : mg_run;
        const mg_element *const end = dy + run;
        int32_t part = 0;
        for (; dy != end; weight += step) {
            part += *dy++ * *weight;
        }
        sum += part;
        count -= run;
    }
    return sum;
}

static inline void mg_block_four_narrowed(mg_narrowing *n, mg_block_four sum, mg_element *to) {
    to[0] = mg_narrowed_wide(n, sum.a);
    to[1] = mg_narrowed_wide(n, sum.b);
    to[2] = mg_narrowed_wide(n, sum.c);
    to[3] = mg_narrowed_wide(n, sum.d);
}

#endif
