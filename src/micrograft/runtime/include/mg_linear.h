/* Kernels of y = x W^T + b. float32 sums run in the order that the code states, by fused multiply-add. */
#ifndef MG_LINEAR_H
#define MG_LINEAR_H

#include <stdint.h>

typedef struct {
    int32_t rows;    /* vectors in x and y */
    int32_t inputs;  /* length of a vector of x */
    int32_t outputs; /* length of a vector of y */
} mg_linear_params;

/* y: (rows, outputs) = x: (rows, inputs) times weight: (outputs, inputs), plus bias: (outputs) or null. */
void mg_linear_float32(const mg_linear_params *params, const float *x, const float *weight, const float *bias,
                       float *y);

/* y: (rows, outputs) = addend: (rows, outputs) plus x: (rows, inputs) times weight: (outputs, inputs).
 * y may be addend. */
void mg_linear_add_float32(const mg_linear_params *params, const float *x, const float *weight, const float *addend,
                           float *y);

/* dx: (rows, inputs) = dy: (rows, outputs) times weight: (outputs, inputs). */
void mg_linear_input_gradient_float32(const mg_linear_params *params, const float *dy, const float *weight,
                                      float *dx);

/* The same through a frozen int8 weight: dx is the sum of dy times codes. */
void mg_linear_input_gradient_int8(const mg_linear_params *params, const float *dy, const int8_t *weight, float *dx);

/* dw: (outputs, inputs) = sum over rows of dy: (rows, outputs) times x: (rows, inputs). */
void mg_linear_weight_gradient_float32(const mg_linear_params *params, const float *x, const float *dy,
                                       float *dw);

/* db: (outputs) = sum over rows of dy: (rows, outputs). */
void mg_linear_bias_gradient_float32(const mg_linear_params *params, const float *dy, float *db);

#endif
