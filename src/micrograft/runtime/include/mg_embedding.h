/* Rows of a table, chosen by tokens: each in 0 .. rows - 1, which the caller has checked. */
#ifndef MG_EMBEDDING_H
#define MG_EMBEDDING_H

#include <stdint.h>

typedef struct {
    int32_t tokens;
    int32_t rows;    /* of the table */
    int32_t columns; /* of the table */
    int32_t padding; /* the token whose row is not trained, or -1 */
} mg_embedding_params;

/* y: (tokens, columns) = the rows of weight: (rows, columns) that x: (tokens) names. */
void mg_embedding_float32(const mg_embedding_params *params, const int32_t *x, const float *weight, float *y);

/* dw: (rows, columns) = to each row the sum of dy: (tokens, columns) where x names it, first one first. */
void mg_embedding_gradient_float32(const mg_embedding_params *params, const int32_t *x, const float *dy, float *dw);

#endif
