/* Updates of int8 weights and int32 biases where they lie, as those of mg_optimizers.h on the real numbers that they
 * stand for. gradient, velocity and moments are of these real numbers, float32. Rounding: mg_codes_update.h. */
#ifndef MG_CODES_OPTIMIZERS_H
#define MG_CODES_OPTIMIZERS_H

#include "mg_codes_update.h"

typedef struct {
    mg_code_tensor codes;
    float weight_decay;
} mg_codes_sgd_params;

/* code -= rate / scale * (gradient + weight_decay * scale * code). */
void mg_sgd_int8(const mg_codes_sgd_params *params, int8_t *codes, const float *gradient, const mg_code_step *step);
void mg_sgd_int16(const mg_codes_sgd_params *params, int16_t *codes, const float *gradient, const mg_code_step *step);
void mg_sgd_int32(const mg_codes_sgd_params *params, int32_t *codes, const float *gradient, const mg_code_step *step);

/* mg_sgd_int8 on code + residue / 256, which moves by 256ths. */
void mg_sgd_residue_int8(const mg_codes_sgd_params *params, int8_t *codes, const float *gradient, int8_t *residue,
                         const mg_code_step *step);

typedef struct {
    mg_code_tensor codes;
    float momentum;
    float weight_decay;
} mg_codes_sgd_momentum_params;

/* velocity = momentum * velocity + gradient + weight_decay * scale * code; code -= rate / scale * velocity. */
void mg_sgd_momentum_int8(const mg_codes_sgd_momentum_params *params, int8_t *codes, const float *gradient,
                          float *velocity, const mg_code_step *step);
void mg_sgd_momentum_int16(const mg_codes_sgd_momentum_params *params, int16_t *codes, const float *gradient,
                           float *velocity, const mg_code_step *step);
void mg_sgd_momentum_int32(const mg_codes_sgd_momentum_params *params, int32_t *codes, const float *gradient,
                           float *velocity, const mg_code_step *step);

typedef struct {
    mg_code_tensor codes;
    float rest1; /* 1 - beta1 */
    float rest2; /* 1 - beta2 */
    float epsilon;
    float weight_decay;
    int32_t decoupled; /* whether weight_decay acts on the code alone (AdamW), not through the gradient */
} mg_codes_adam_params;

/* moments, rate: as in mg_adam_float32. code -= rate[0] / scale * m / (sqrt(v) * rate[1] + epsilon). */
void mg_adam_int8(const mg_codes_adam_params *params, int8_t *codes, const float *gradient, float *moments,
                  const mg_code_step *step);
void mg_adam_int16(const mg_codes_adam_params *params, int16_t *codes, const float *gradient, float *moments,
                   const mg_code_step *step);
void mg_adam_int32(const mg_codes_adam_params *params, int32_t *codes, const float *gradient, float *moments,
                   const mg_code_step *step);

typedef struct {
    int32_t count; /* of steps that the generator takes */
} mg_next_random_params;

/* Moves the random state on: x = 1664525 * x + 1013904223 mod 2^32. */
void mg_next_random_int32(const mg_next_random_params *params, int32_t *random);

typedef struct {
    int32_t outer, channels, inner;
} mg_real_gradient_params;

/* y = gradient * (1 / scale): the gradient of real = scale * code from that of the code. y may be gradient. */
void mg_real_gradient_float32(const mg_real_gradient_params *params, const float *gradient, const float *scales,
                              float *y);

#endif
