/* Kernels of convolutions over height and width, channels last. A 1-D one has height 1.
 * float32 sums run in the order that the code states, by fused multiply-add, one accumulator per result. */
#ifndef MG_CONV_H
#define MG_CONV_H

#include "mg_window.h"

typedef struct {
    mg_axis height;
    mg_axis width;
    int32_t in_channels;
    int32_t out_channels;
    int32_t groups; /* as many as in_channels in a depthwise convolution */
} mg_conv_params;

/* y: (out height, out width, out channels) = x: (height, width, in channels) convolved with
 * weight: (out channels, kernel height, kernel width, in channels / groups), plus bias: (out channels) or null. */
void mg_conv_float32(const mg_conv_params *params, const float *x, const float *weight, const float *bias, float *y);

/* dx, shaped as x, from dy, shaped as y. */
void mg_conv_input_gradient_float32(const mg_conv_params *params, const float *dy, const float *weight, float *dx);

/* The same through a frozen int8 weight: dx is the sum of dy times codes. */
void mg_conv_input_gradient_int8(const mg_conv_params *params, const float *dy, const int8_t *weight, float *dx);

/* dw, shaped as weight, from x and dy, shaped as y. */
void mg_conv_weight_gradient_float32(const mg_conv_params *params, const float *x, const float *dy, float *dw);

/* The same three where output channel o reads input channel o / (out channels / in channels) alone and
 * weight is (kernel height, kernel width, out channels). */
void mg_depthwise_conv_float32(const mg_conv_params *params, const float *x, const float *weight, const float *bias,
                               float *y);
void mg_depthwise_conv_input_gradient_float32(const mg_conv_params *params, const float *dy, const float *weight,
                                              float *dx);
void mg_depthwise_conv_input_gradient_int8(const mg_conv_params *params, const float *dy, const int8_t *weight,
                                           float *dx);
void mg_depthwise_conv_weight_gradient_float32(const mg_conv_params *params, const float *x, const float *dy,
                                               float *dw);

#endif
