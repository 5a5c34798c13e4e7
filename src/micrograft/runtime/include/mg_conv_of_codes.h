/* float32 convolutions that read int8 codes, channels last: what an adapter's A makes of a frozen layer's input; and
 * gradients of weights from codes.
 * real = x_scale * (x - x_zero). One accumulator per result, summed over taps and channels in order, times x_scale. */
#ifndef MG_CONV_OF_CODES_H
#define MG_CONV_OF_CODES_H

#include "mg_window.h"

typedef struct {
    mg_axis height;
    mg_axis width;
    int32_t in_channels;
    int32_t out_channels;
    int32_t groups;
    int32_t x_zero;
    float x_scale;
} mg_conv_of_codes_params;

/* y: (out height, out width, out channels) = x: (height, width, in channels) convolved with
 * weight: (out channels, kernel height, kernel width, in channels / groups). */
void mg_conv_of_codes_float32(const mg_conv_of_codes_params *params, const int8_t *x, const float *weight, float *y);

/* dw, shaped as weight, from x and dy, shaped as y. */
void mg_conv_of_codes_weight_gradient_float32(const mg_conv_of_codes_params *params, const int8_t *x, const float *dy,
                                              float *dw);

/* The same where output channel o reads input channel o / (out channels / in channels) alone and dw is
 * (kernel height, kernel width, out channels). */
void mg_depthwise_conv_of_codes_weight_gradient_float32(const mg_conv_of_codes_params *params, const int8_t *x,
                                                        const float *dy, float *dw);

#endif
