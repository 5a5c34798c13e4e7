/* Kernels of batch normalization with frozen statistics. scale = 1/sqrt(variance + epsilon), one per channel. */
#ifndef MG_BATCH_NORM_H
#define MG_BATCH_NORM_H

#include <stdint.h>

typedef struct {
    int32_t rows;     /* vectors of channels */
    int32_t channels; /* length of a vector */
    float epsilon;
} mg_batch_norm_params;

/* y: (rows, channels) = (x - mean) * scale; mean, variance: (channels). y may be x. */
void mg_batch_norm_normalize_float32(const mg_batch_norm_params *params, const float *x, const float *mean,
                                     const float *variance, float *y);

/* y: (rows, channels) = x * weight + bias, rounded once; weight, bias: (channels). y may be x. */
void mg_batch_norm_affine_float32(const mg_batch_norm_params *params, const float *x, const float *weight,
                                  const float *bias, float *y);

/* dx: (rows, channels) = dy * (weight * scale). dx may be dy. */
void mg_batch_norm_input_gradient_float32(const mg_batch_norm_params *params, const float *dy, const float *weight,
                                          const float *variance, float *dx);

/* dw: (channels) = the sum over rows of dy * (x - mean), times scale. */
void mg_batch_norm_weight_gradient_float32(const mg_batch_norm_params *params, const float *x, const float *dy,
                                           const float *mean, const float *variance, float *dw);

#endif
