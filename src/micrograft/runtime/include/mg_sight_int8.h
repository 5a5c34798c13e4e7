/* The dot product of a window and its weights on int8 codes, with int32 sums. */
#ifndef MG_SIGHT_INT8_H
#define MG_SIGHT_INT8_H

#include "mg_dot_int8.h"

/* What a window sees of x: `rows` times `runs` stretches of `length` neighbours, met by as many weights. */
typedef struct {
    const int8_t *x;
    int32_t zero;
    int32_t rows, runs, length;
    int32_t x_row, x_run;
    int32_t weight_row, weight_run, weight_output;
} mg_sight;

static inline int32_t mg_sight_one(const mg_sight *s, const int8_t *weight, int32_t sum) {
    const int8_t *from = s->x;
    for (int32_t row = s->rows; row > 0; --row, from += s->x_row, weight += s->weight_row) {
        const int8_t *x = from;
        const int8_t *w = weight;
        for (int32_t run = s->runs; run > 0; --run, x += s->x_run, w += s->weight_run) {
            sum = mg_dot_int8(x, s->zero, w, s->length, sum);
        }
    }
    return sum;
}

/* Adds the same for four outputs. A function of its own, so that its loops have all registers. */
void mg_sight_four_int8(const mg_sight *s, const int8_t *weight, mg_four_sums *sums);

#endif
