/* Smooth activations. Their gradients are computed from the output y, not from the input. */
#ifndef MG_ACTIVATIONS_H
#define MG_ACTIVATIONS_H

#include <stdint.h>

#include "mg_elements.h"

/* y = 1 / (1 + e^-x). y may be x. */
void mg_sigmoid_float32(const mg_elements_params *params, const float *x, float *y);

/* dx = dy * y * (1 - y). dx may be dy or y. */
void mg_sigmoid_gradient_float32(const mg_elements_params *params, const float *dy, const float *y, float *dx);

/* y = tanh(x). y may be x. */
void mg_tanh_float32(const mg_elements_params *params, const float *x, float *y);

/* dx = dy * (1 - y^2). dx may be dy or y. */
void mg_tanh_gradient_float32(const mg_elements_params *params, const float *dy, const float *y, float *dx);

typedef struct {
    int32_t rows;
    int32_t columns;
} mg_softmax_params;

/* y: (rows, columns) = e^(x - m) / sum of e^(x - m) in each row, m its largest element. y may be x. */
void mg_softmax_float32(const mg_softmax_params *params, const float *x, float *y);

/* dx = y * (dy - sum of dy * y) in each row. dx may be dy or y. */
void mg_softmax_gradient_float32(const mg_softmax_params *params, const float *dy, const float *y, float *dx);

#endif
