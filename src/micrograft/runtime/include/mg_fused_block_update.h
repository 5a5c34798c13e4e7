/* Updates of int8 codes whose gradients are blocks (mg_block.h) and never exist as a whole: they are computed part by
 * part, as in mg_weight_gradient_part.h. What part of a gradient holds is known once all of it has been seen, so a first
 * pass finds its scale. Codes, scales and updates are those of the kernels apart, to the last bit. */
#ifndef MG_FUSED_BLOCK_UPDATE_H
#define MG_FUSED_BLOCK_UPDATE_H

#include "mg_block_update.h"
#include "mg_weight_gradient_part.h"

/* x, dy: what the gradient is computed from. scale: of the gradient. part: room for the largest part. */
typedef struct {
    const int8_t *x;
    const int16_t *dy;
    const int32_t *dy_scale;
    int32_t *scale;
    int16_t *part;
} mg_gradient_block_int16;

typedef struct {
    const int8_t *x;
    const int8_t *dy;
    const int32_t *dy_scale;
    int32_t *scale;
    int8_t *part;
} mg_gradient_block_int8;

/* Finds the scale that mg_block_conv_of_codes_weight_gradient would leave. */
void mg_block_gradient_scale_int16(const mg_gradient_int8_params *params, const mg_gradient_block_int16 *gradient);
void mg_block_gradient_scale_int8(const mg_gradient_int8_params *params, const mg_gradient_block_int8 *gradient);

typedef struct {
    mg_gradient_int8_params gradient;
    mg_block_square_sum_params update;
} mg_fused_block_square_sum_params;

/* The same, and mg_block_square_sum of the gradient. */
void mg_fused_block_square_sum_int16(const mg_fused_block_square_sum_params *params,
                                     const mg_gradient_block_int16 *gradient, const int32_t *weights, float *total);
void mg_fused_block_square_sum_int8(const mg_fused_block_square_sum_params *params,
                                    const mg_gradient_block_int8 *gradient, const int32_t *weights, float *total);

typedef struct {
    mg_gradient_int8_params gradient;
    mg_block_sgd_params update;
} mg_fused_block_sgd_params;

/* As mg_block_sgd_int8_int16 and _int8, once the scale is found. */
void mg_fused_block_sgd_int16(const mg_fused_block_sgd_params *params, int8_t *codes,
                              const mg_gradient_block_int16 *gradient, const mg_block_step *step);
void mg_fused_block_sgd_int8(const mg_fused_block_sgd_params *params, int8_t *codes,
                             const mg_gradient_block_int8 *gradient, const mg_block_step *step);

#endif
