/* An int8 layer's factors (mg_fixed_point.h), each times a trained scale, and the scale's gradient. */
#ifndef MG_SCALED_FACTORS_H
#define MG_SCALED_FACTORS_H

#include <stdint.h>

typedef struct {
    int32_t outputs;
} mg_scaled_factors_params;

/* y: (outputs, 2) = factors: (outputs, 2), multiplier and shift, times scale: (outputs). In integers, rounded to
 * nearest, ties away from zero; a scale of 1 changes no bit. A shift above 0 that the factor had not saturates; what is
 * below 2^-32, and a scale that is no number, gives 0. */
void mg_scaled_factors_int32(const mg_scaled_factors_params *params, const int32_t *factors, const float *scale,
                             int32_t *y);

/* y: (outputs) = d_factors over scale, whose size counts as 1/16 where it is less. y may be d_factors. */
void mg_scaled_factors_gradient_float32(const mg_scaled_factors_params *params, const float *d_factors,
                                        const float *scale, float *y);

#endif
