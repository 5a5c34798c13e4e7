/* Which of a row is the largest, and by how much the others are less likely. */
#ifndef MG_RANK_H
#define MG_RANK_H

#include "mg_activations.h"

/* y: (rows, columns) = x - m - log(sum of e^(x - m)) in each row, m its largest element. y may be x. */
void mg_log_softmax_float32(const mg_softmax_params *params, const float *x, float *y);

/* dx = dy - e^y * sum of dy in each row. dx may be dy or y. */
void mg_log_softmax_gradient_float32(const mg_softmax_params *params, const float *dy, const float *y, float *dx);

typedef struct {
    int32_t rows;
    int32_t columns;
    int32_t last; /* whether the last of equals wins, and not the first */
} mg_argmax_params;

/* y: (rows) = index of the largest of (rows, columns). */
void mg_argmax_int32(const mg_argmax_params *params, const float *x, int32_t *y);

#endif
