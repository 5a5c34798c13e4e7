/* Arithmetic on two tensors, either of which may be stretched along some axes as NumPy does, and the sums
 * that undo a stretching. Steps are 0 (stretched) or 1. */
#ifndef MG_ARITHMETIC_H
#define MG_ARITHMETIC_H

#include <stdint.h>

#include "mg_walk.h"

typedef struct {
    int32_t rows;
    int32_t columns;              /* elements of a row */
    int32_t shape[MG_OUTER_AXES]; /* of the axes outside a row */
    int32_t a_step;               /* elements from one to the next in a row */
    int32_t b_step;
    int32_t a_jump[MG_OUTER_AXES]; /* elements from row to row, where axis i advances */
    int32_t b_jump[MG_OUTER_AXES];
} mg_broadcast_params;

/* y = a + b. y may be whichever of a, b is not stretched. */
void mg_add_float32(const mg_broadcast_params *params, const float *a, const float *b, float *y);

/* y = a - b. y may be whichever of a, b is not stretched. */
void mg_sub_float32(const mg_broadcast_params *params, const float *a, const float *b, float *y);

/* y = a * b. y may be whichever of a, b is not stretched. */
void mg_mul_float32(const mg_broadcast_params *params, const float *a, const float *b, float *y);

typedef struct {
    int32_t size; /* elements of y */
    int32_t rows;
    int32_t columns;
    int32_t shape[MG_OUTER_AXES];
    int32_t y_step;
    int32_t y_jump[MG_OUTER_AXES];
} mg_sum_to_params;

/* y = sum of x over the axes along which y is stretched, in the order of x, one accumulator per element. */
void mg_sum_to_float32(const mg_sum_to_params *params, const float *x, float *y);

typedef struct {
    int32_t size; /* elements of y */
    int32_t rows;
    int32_t columns;
    int32_t shape[MG_OUTER_AXES];
    int32_t a_step;
    int32_t b_step;
    int32_t y_step;
    int32_t a_jump[MG_OUTER_AXES];
    int32_t b_jump[MG_OUTER_AXES];
    int32_t y_jump[MG_OUTER_AXES];
} mg_mul_sum_to_params;

/* y = sum of a * b over the axes along which y is stretched, likewise, by fused multiply-add. */
void mg_mul_sum_to_float32(const mg_mul_sum_to_params *params, const float *a, const float *b, float *y);

typedef struct {
    int32_t size;
    float factor;
} mg_scale_params;

/* y = factor * x. y may be x. */
void mg_scale_float32(const mg_scale_params *params, const float *x, float *y);

#endif
