/* Updates of a weight, and sums of squares, that read its gradient part by part, as mg_weight_gradient_part.h computes
 * it: the gradient never exists as a whole, and the results are those of the kernels that read it so, to the last bit. */
#ifndef MG_FUSED_UPDATE_H
#define MG_FUSED_UPDATE_H

#include "mg_codes_optimizers.h"
#include "mg_optimizers.h"
#include "mg_weight_gradient_part.h"

typedef struct {
    mg_gradient_float32_params gradient;
    mg_sgd_params update;
} mg_fused_sgd_float32_params;

/* As mg_sgd_float32. */
void mg_fused_sgd_float32(const mg_fused_sgd_float32_params *params, float *weight,
                          const mg_gradient_float32 *gradient, const float *rate, const float *scale);

typedef struct {
    mg_gradient_float32_params gradient;
    mg_sgd_momentum_params update;
} mg_fused_sgd_momentum_float32_params;

/* As mg_sgd_momentum_float32. */
void mg_fused_sgd_momentum_float32(const mg_fused_sgd_momentum_float32_params *params, float *weight,
                                   const mg_gradient_float32 *gradient, const float *rate, float *velocity,
                                   const float *scale);

typedef struct {
    mg_gradient_int8_params gradient;
    mg_codes_sgd_params update;
} mg_fused_sgd_int8_params;

/* As mg_sgd_int8. */
void mg_fused_sgd_int8(const mg_fused_sgd_int8_params *params, int8_t *codes, const mg_gradient_int8 *gradient,
                       const mg_code_step *step);

/* As mg_sgd_residue_int8. */
void mg_fused_sgd_residue_int8(const mg_fused_sgd_int8_params *params, int8_t *codes, const mg_gradient_int8 *gradient,
                               int8_t *residue, const mg_code_step *step);

typedef struct {
    mg_gradient_int8_params gradient;
    mg_codes_sgd_momentum_params update;
} mg_fused_sgd_momentum_int8_params;

/* As mg_sgd_momentum_int8. */
void mg_fused_sgd_momentum_int8(const mg_fused_sgd_momentum_int8_params *params, int8_t *codes,
                                const mg_gradient_int8 *gradient, float *velocity, const mg_code_step *step);

typedef struct {
    mg_gradient_float32_params gradient;
    mg_square_sum_params update;
} mg_fused_square_sum_float32_params;

/* As mg_square_sum_float32. */
void mg_fused_square_sum_float32(const mg_fused_square_sum_float32_params *params, const mg_gradient_float32 *gradient,
                                 const float *previous, float *y);

typedef struct {
    mg_gradient_int8_params gradient;
    mg_square_sum_params update;
} mg_fused_square_sum_int8_params;

void mg_fused_square_sum_int8(const mg_fused_square_sum_int8_params *params, const mg_gradient_int8 *gradient,
                              const float *previous, float *y);

#endif
