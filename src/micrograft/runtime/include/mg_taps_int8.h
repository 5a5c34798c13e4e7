/* The taps of a depthwise window on int8 codes, four neighbouring channels at a time, with int32 sums. */
#ifndef MG_TAPS_INT8_H
#define MG_TAPS_INT8_H

#include "mg_dot_int8.h"

/* The grid of taps that lie on the input, and the steps between them. zero: the code of x that means 0. */
typedef struct {
    int32_t zero;
    int32_t rows, columns;
    int32_t x_row, x_column;
    int32_t weight_row; /* int16: four for each tap */
} mg_taps;

/* Where the weights of four channels at one tap lie: with DSP instructions the first and the third, then the others. */
static inline void mg_put_tap(int16_t *to, const int8_t *weight) {
    to[0] = weight[0];
    to[1] = weight[MG_DSP ? 2 : 1];
    to[2] = weight[MG_DSP ? 1 : 2];
    to[3] = weight[3];
}

/* Adds, for four neighbouring channels, each with weights of its own, the products of all taps. weights: as mg_put_tap puts
 * them, at a multiple of 4 bytes. A function of its own, so that its loops have all registers. */
void mg_taps_four_int8(const mg_taps *taps, const int8_t *x, const int16_t *weights, mg_four_sums *sums);

#endif
