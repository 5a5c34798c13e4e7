/* Kernels that only move elements. */
#ifndef MG_COPY_H
#define MG_COPY_H

#include <stdint.h>

#include "mg_walk.h"

typedef struct {
    int32_t rows;
    int32_t columns;              /* elements of a row of y */
    int32_t shape[MG_OUTER_AXES]; /* of the axes outside a row */
    int32_t x_step;               /* elements of x from one to the next in a row of y */
    int32_t x_jump[MG_OUTER_AXES];
} mg_transpose_params;

/* y = x with its axes in another order. */
void mg_transpose_float32(const mg_transpose_params *params, const float *x, float *y);
void mg_transpose_int8(const mg_transpose_params *params, const int8_t *x, int8_t *y);
void mg_transpose_int16(const mg_transpose_params *params, const int16_t *x, int16_t *y);

typedef struct {
    int32_t size;  /* elements of y */
    int32_t start; /* the element of y that gets the first of x */
    int32_t rows;
    int32_t columns;              /* elements of a row of x */
    int32_t shape[MG_OUTER_AXES]; /* of the axes outside a row */
    int32_t x_step;               /* elements of y from one of x to the next in a row */
    int32_t x_jump[MG_OUTER_AXES];
} mg_scatter_params;

/* y = zeros, but where the walk leads: there the elements of x, in order. */
void mg_scatter_float32(const mg_scatter_params *params, const float *x, float *y);
void mg_scatter_int8(const mg_scatter_params *params, const int8_t *x, int8_t *y);
void mg_scatter_int16(const mg_scatter_params *params, const int16_t *x, int16_t *y);

typedef struct {
    int32_t rows;
    int32_t columns;  /* elements of a row that are copied */
    int32_t x_stride; /* elements from row to row */
    int32_t y_stride;
} mg_copy_params;

/* y: (rows, columns) = x: (rows, columns), each with a stride of its own. */
void mg_copy_float32(const mg_copy_params *params, const float *x, float *y);
void mg_copy_int8(const mg_copy_params *params, const int8_t *x, int8_t *y);
void mg_copy_int16(const mg_copy_params *params, const int16_t *x, int16_t *y);

typedef struct {
    int32_t rows;
    int32_t before;  /* zeros in front of a row of x */
    int32_t columns; /* elements of a row of x */
    int32_t after;   /* zeros behind it */
} mg_pad_params;

/* y: (rows, before + columns + after) = x: (rows, columns) between zeros. */
void mg_pad_float32(const mg_pad_params *params, const float *x, float *y);
void mg_pad_int8(const mg_pad_params *params, const int8_t *x, int8_t *y);
void mg_pad_int16(const mg_pad_params *params, const int16_t *x, int16_t *y);

#endif
