/* erf, and activations that multiply x by a gate of its own. Their gradients are computed from the input x. */
#ifndef MG_GATED_H
#define MG_GATED_H

#include <stdint.h>

#include "mg_elements.h"

/* y = erf(x). y may be x. */
void mg_erf_float32(const mg_elements_params *params, const float *x, float *y);

/* dx from dy and x. dx may be dy or x. */
void mg_erf_gradient_float32(const mg_elements_params *params, const float *dy, const float *x, float *dx);

/* y = x * (1 + erf(x / sqrt(2))) / 2. y may be x. */
void mg_gelu_float32(const mg_elements_params *params, const float *x, float *y);

/* dx from dy and x. dx may be dy or x. */
void mg_gelu_gradient_float32(const mg_elements_params *params, const float *dy, const float *x, float *dx);

/* y = x * (1 + tanh(sqrt(2 / pi) * (x + 0.044715 * x^3))) / 2. y may be x. */
void mg_gelu_tanh_float32(const mg_elements_params *params, const float *x, float *y);

/* dx from dy and x. dx may be dy or x. */
void mg_gelu_tanh_gradient_float32(const mg_elements_params *params, const float *dy, const float *x, float *dx);

/* y = x / (1 + e^-x). y may be x. */
void mg_silu_float32(const mg_elements_params *params, const float *x, float *y);

/* dx from dy and x. dx may be dy or x. */
void mg_silu_gradient_float32(const mg_elements_params *params, const float *dy, const float *x, float *dx);

#endif
