/* Trained additions to int8 networks in integers: an adapter's A, what it makes of codes, and a head.
 * Sums are int32 of products of at most 16 bits with 9, or int64 where stated. */
#ifndef MG_CODED_H
#define MG_CODED_H

#include "mg_block.h"
#include "mg_conv_int8.h"
#include "mg_elements.h"
#include "mg_linear_int8.h"

typedef struct {
    mg_axis height;
    mg_axis width;
    int32_t in_channels;
    int32_t out_channels;
    int32_t groups;
    int32_t x_zero; /* the code of x that means 0 */
    int32_t places; /* that a sum is shifted to the right */
} mg_down_params;

/* y: (out height, out width, out channels) = the sums of (x - x_zero) times weight: (out channels, kernel height, kernel
 * width, in channels / groups), shifted to nearest, ties up, and saturated. */
void mg_down_int16(const mg_down_params *params, const int8_t *x, const int8_t *weight, int16_t *y);

/* dw: (outputs, inputs) = sums over rows of dy: (rows, outputs) times down: (rows, inputs); float32 in order, by fused
 * multiply-add, blocks in int64. */
void mg_down_weight_gradient_float32(const mg_linear_params *params, const int16_t *down, const float *dy, float *dw);
void mg_block_down_weight_gradient_int16(const mg_linear_params *params, const int16_t *down, const mg_block_int16 *dy,
                                         const mg_block_int16 *dw);
void mg_block_down_weight_gradient_int8(const mg_linear_params *params, const int16_t *down, const mg_block_int8 *dy,
                                        const mg_block_int8 *dw);

typedef struct {
    int32_t rows;
    int32_t inputs;
    int32_t outputs;
    int32_t x_zero;
} mg_coded_linear_params;

/* y: (rows, outputs) float32 = (the sum of (x - x_zero) times weight: (outputs, inputs), plus bias) times the output's
 * factor, the next float32 towards 0: no float is computed with. The sum with its bias is int64. */
void mg_coded_linear_float32(const mg_coded_linear_params *params, const int8_t *x, const int8_t *weight,
                             const mg_channels *channels, float *y);

/* y = x / 2^8 to nearest, ties up, saturated: the codes that int16 masters compute with. */
void mg_high_codes_int8(const mg_elements_params *params, const int16_t *x, int8_t *y);

#endif
