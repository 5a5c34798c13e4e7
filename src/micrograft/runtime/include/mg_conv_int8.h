/* Convolutions on int8 codes, channels last; a 1-D one has height 1, a linear layer is one of kernel 1 over its rows.
 * Sums are int32, of (x - x_zero) times weight; what lies outside the input means 0. Rounding: mg_fixed_point.h. */
#ifndef MG_CONV_INT8_H
#define MG_CONV_INT8_H

#include "mg_fixed_point.h"
#include "mg_window.h"

typedef struct {
    mg_axis height;
    mg_axis width;
    int32_t in_channels;
    int32_t out_channels;
    int32_t groups; /* as many as in_channels in a depthwise convolution */
    int32_t x_zero; /* the code of x that means 0 */
    mg_code_range y;
    int32_t rank; /* of a detour; 0 for none */
    float steps;  /* codes of y in one unit of the detour: 1 / scale */
    int32_t places; /* that a detour of codes is shifted to the right */
} mg_conv_int8_params;

/* What a low-rank adapter adds to y before it is rounded: up: (out channels, rank) times
 * down: (out height, out width, rank), in real numbers. */
typedef struct {
    const float *down;
    const float *up;
    int16_t *columns; /* as of mg_conv_int8 */
} mg_detour;

/* The same in integers: up . down over 2^places, to nearest, ties up, counts in the sums' own units. */
typedef struct {
    const int16_t *down;
    const int8_t *up;
    int16_t *columns;
} mg_coded_detour;

/* y: (out height, out width, out channels) from x: (height, width, in channels) and
 * weight: (out channels, kernel height, kernel width, in channels / groups). columns: room for what two windows see, twice
 * kernel height * kernel width * in channels / groups int16, rounded up to fours. */
void mg_conv_int8(const mg_conv_int8_params *params, const int8_t *x, const int8_t *weight, const mg_channels *channels,
                  int16_t *columns, int8_t *y);

/* The same with a detour, which is added to the int32 sums in their own units. */
void mg_adapted_conv_int8(const mg_conv_int8_params *params, const int8_t *x, const int8_t *weight,
                          const mg_channels *channels, const mg_detour *detour, int8_t *y);

void mg_coded_detour_conv_int8(const mg_conv_int8_params *params, const int8_t *x, const int8_t *weight,
                               const mg_channels *channels, const mg_coded_detour *detour, int8_t *y);

/* mg_conv_int8 where output channel o reads input channel o / (out channels / in channels) alone and
 * weight is (kernel height, kernel width, out channels). four: room for the weights of four channels as int16. */
void mg_depthwise_conv_int8(const mg_conv_int8_params *params, const int8_t *x, const int8_t *weight,
                            const mg_channels *channels, int16_t *four, int8_t *y);

#endif
