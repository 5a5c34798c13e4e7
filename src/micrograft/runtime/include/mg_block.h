/* Gradients in integers: block floating point, codes that share a power of two.
 * real = unit * 2^scale[1] * code, with a unit that the compiler keeps. scale[0]: the shift that this step starts from;
 * a kernel leaves there what the next step shall start from.
 * Products of codes are exact; they are summed in int32 as long as that cannot overflow, and in int64 beyond.
 * Sums become codes by one shift to the right, to nearest, ties up. Where the shift does not fit what this step
 * brought (a code would not fit, or more than mg_slack bits would be given away), the tensor is computed once more with
 * the shift that fits; so nothing saturates but a code that the last rounding takes past the end. */
#ifndef MG_BLOCK_H
#define MG_BLOCK_H

#include "mg_conv.h"
#include "mg_conv_of_codes.h"
#include "mg_linear.h"
#include "mg_pool.h"

typedef struct {
    int16_t *codes;
    int32_t *scale; /* 2: shift, exponent */
} mg_block_int16;

typedef struct {
    int8_t *codes;
    int32_t *scale;
} mg_block_int8;

/* dx, shaped as x, from dy, shaped as y, through a weight of codes: (out channels, kernel height, kernel width,
 * in channels / groups). */
void mg_block_conv_input_gradient_int16(const mg_conv_params *params, const mg_block_int16 *dy, const int8_t *weight,
                                        const mg_block_int16 *dx);
void mg_block_conv_input_gradient_int8(const mg_conv_params *params, const mg_block_int8 *dy, const int8_t *weight,
                                       const mg_block_int8 *dx);

/* The same where output channel o reads input channel o / (out channels / in channels) alone and weight is
 * (kernel height, kernel width, out channels). */
void mg_block_depthwise_conv_input_gradient_int16(const mg_conv_params *params, const mg_block_int16 *dy,
                                                  const int8_t *weight, const mg_block_int16 *dx);
void mg_block_depthwise_conv_input_gradient_int8(const mg_conv_params *params, const mg_block_int8 *dy,
                                                 const int8_t *weight, const mg_block_int8 *dx);

/* dx: (rows, inputs) = dy: (rows, outputs) times weight: (outputs, inputs). */
void mg_block_linear_input_gradient_int16(const mg_linear_params *params, const mg_block_int16 *dy,
                                          const int8_t *weight, const mg_block_int16 *dx);
void mg_block_linear_input_gradient_int8(const mg_linear_params *params, const mg_block_int8 *dy,
                                         const int8_t *weight, const mg_block_int8 *dx);

/* dw: (out channels, kernel height, kernel width, in channels / groups) = sums of (x - x_zero) times dy. x_scale is
 * not read. */
void mg_block_conv_of_codes_weight_gradient_int16(const mg_conv_of_codes_params *params, const int8_t *x,
                                                  const mg_block_int16 *dy, const mg_block_int16 *dw);
void mg_block_conv_of_codes_weight_gradient_int8(const mg_conv_of_codes_params *params, const int8_t *x,
                                                 const mg_block_int8 *dy, const mg_block_int8 *dw);

/* The same of a depthwise convolution; dw: (kernel height, kernel width, out channels). */
void mg_block_depthwise_conv_of_codes_weight_gradient_int16(const mg_conv_of_codes_params *params, const int8_t *x,
                                                            const mg_block_int16 *dy, const mg_block_int16 *dw);
void mg_block_depthwise_conv_of_codes_weight_gradient_int8(const mg_conv_of_codes_params *params, const int8_t *x,
                                                           const mg_block_int8 *dy, const mg_block_int8 *dw);

/* db: (outputs) = sum over rows of dy: (rows, outputs). */
void mg_block_linear_bias_gradient_int16(const mg_linear_params *params, const mg_block_int16 *dy,
                                         const mg_block_int16 *db);
void mg_block_linear_bias_gradient_int8(const mg_linear_params *params, const mg_block_int8 *dy,
                                        const mg_block_int8 *db);

/* dx, shaped as x: the sum of dy over the windows in which a place won. */
void mg_block_max_pool_gradient_int16(const mg_max_pool_params *params, const mg_block_int16 *dy, const void *index,
                                      const mg_block_int16 *dx);
void mg_block_max_pool_gradient_int8(const mg_max_pool_params *params, const mg_block_int8 *dy, const void *index,
                                     const mg_block_int8 *dx);

/* dx, shaped as x: the sum of dy over the windows on a place; what each is divided by is left to the unit. */
void mg_block_average_pool_gradient_int16(const mg_average_pool_params *params, const mg_block_int16 *dy,
                                          const mg_block_int16 *dx);
void mg_block_average_pool_gradient_int8(const mg_average_pool_params *params, const mg_block_int8 *dy,
                                         const mg_block_int8 *dx);

#endif
