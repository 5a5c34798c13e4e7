/* The product of two activations, either of which may be read transposed, and be shared by several products. */
#ifndef MG_MATMUL_H
#define MG_MATMUL_H

#include <stdint.h>

#include "mg_walk.h"

typedef struct {
    int32_t rows; /* of a and y */
    int32_t inner;
    int32_t columns;  /* of b and y */
    int32_t a_row;    /* elements of a from row to row, */
    int32_t a_inner;  /* and from one factor to the next */
    int32_t b_inner;  /* the same of b, */
    int32_t b_column; /* and from column to column */
    int32_t runs;     /* products: runs of `run` each */
    int32_t run;
    int32_t shape[MG_OUTER_AXES]; /* of the axes outside a run */
    int32_t a_step;               /* elements from one product to the next in a run */
    int32_t b_step;
    int32_t a_jump[MG_OUTER_AXES]; /* elements from run to run, where axis i advances */
    int32_t b_jump[MG_OUTER_AXES];
} mg_matmul_params;

/* y: (products, rows, columns) = a: (rows, inner) times b: (inner, columns) in each product. Each result has one
 * accumulator, by fused multiply-add, first factor first. */
void mg_matmul_float32(const mg_matmul_params *params, const float *a, const float *b, float *y);

#endif
