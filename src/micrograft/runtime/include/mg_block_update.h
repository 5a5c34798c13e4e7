/* Updates of integer codes from gradients that are blocks (mg_block.h), in integers from end to end: no float is
 * computed with. The rate's and the factor's bits are read, 16 of each significand; products have at most 31 bits.
 * Rounding of a step: at random, mg_codes_update.h; the random word of an element is compared in all its 32 bits. */
#ifndef MG_BLOCK_UPDATE_H
#define MG_BLOCK_UPDATE_H

#include "mg_block.h"
#include "mg_codes_update.h"

typedef struct {
    mg_code_tensor codes;
} mg_block_sgd_params;

/* What an update reads beside the gradient. */
typedef struct {
    const float *rate;
    const int32_t *paces;  /* (channels, 2): unit / scale^2 of a channel as multiplier * 2^(shift - 15) */
    const int32_t *random;
    const float *factor;   /* on the gradient; null: 1 */
} mg_block_step;

/* code -= rate * factor * pace * 2^exponent * gradient. */
void mg_block_sgd_int8_int16(const mg_block_sgd_params *params, int8_t *codes, const mg_block_int16 *gradient,
                             const mg_block_step *step);
void mg_block_sgd_int8_int8(const mg_block_sgd_params *params, int8_t *codes, const mg_block_int8 *gradient,
                            const mg_block_step *step);
void mg_block_sgd_int16_int16(const mg_block_sgd_params *params, int16_t *codes, const mg_block_int16 *gradient,
                              const mg_block_step *step);
void mg_block_sgd_int16_int8(const mg_block_sgd_params *params, int16_t *codes, const mg_block_int8 *gradient,
                             const mg_block_step *step);
void mg_block_sgd_int32_int16(const mg_block_sgd_params *params, int32_t *codes, const mg_block_int16 *gradient,
                              const mg_block_step *step);
void mg_block_sgd_int32_int8(const mg_block_sgd_params *params, int32_t *codes, const mg_block_int8 *gradient,
                             const mg_block_step *step);

typedef struct {
    int32_t outer, channels, inner;
    int32_t places;   /* that a channel's sum of squares is shifted to the right, so that uint64 holds the total */
    int32_t exponent; /* of the weights */
} mg_block_square_sum_params;

/* total = the sum of squares of gradient, each times 2^(2 * its exponent) and weights[channel] * 2^exponent, as the
 * float32 below or equal to it. weights: (channels), from 0 to 2^15. */
void mg_block_square_sum_int16(const mg_block_square_sum_params *params, const mg_block_int16 *gradient,
                               const int32_t *weights, float *total);
void mg_block_square_sum_int8(const mg_block_square_sum_params *params, const mg_block_int8 *gradient,
                              const int32_t *weights, float *total);

#endif
