/* Updates of a parameter where it lies. Scalars that change at run time come through pointers; a null `scale`
 * means 1. The gradient is multiplied by `scale` before anything else. */
#ifndef MG_OPTIMIZERS_H
#define MG_OPTIMIZERS_H

#include <stdint.h>

typedef struct {
    int32_t size;
    float weight_decay;
} mg_sgd_params;

/* weight -= rate * (gradient + weight_decay * weight). */
void mg_sgd_float32(const mg_sgd_params *params, float *weight, const float *gradient, const float *rate,
                    const float *scale);

typedef struct {
    int32_t size;
    float momentum;
    float weight_decay;
} mg_sgd_momentum_params;

/* velocity = momentum * velocity + gradient + weight_decay * weight; weight -= rate * velocity. */
void mg_sgd_momentum_float32(const mg_sgd_momentum_params *params, float *weight, const float *gradient,
                             const float *rate, float *velocity, const float *scale);

typedef struct {
    float rest1; /* 1 - beta1 */
    float rest2; /* 1 - beta2 */
} mg_adam_rate_params;

/* corrections[k] = 1 - beta_k^t moves on by one step t; rate = {learning_rate / corrections[0],
 * 1 / sqrt(corrections[1]), learning_rate}. */
void mg_adam_rate_float32(const mg_adam_rate_params *params, const float *learning_rate, float *corrections,
                          float *rate);

typedef struct {
    int32_t size;
    float rest1; /* 1 - beta1 */
    float rest2; /* 1 - beta2 */
    float epsilon;
    float weight_decay;
    int32_t decoupled; /* whether weight_decay acts on the weight alone (AdamW), not through the gradient */
} mg_adam_params;

/* moments: (2, size), the means of the gradient m and of its square v. m += rest1 * (g - m);
 * v += rest2 * (g^2 - v); weight -= rate[0] * m / (sqrt(v) * rate[1] + epsilon). */
void mg_adam_float32(const mg_adam_params *params, float *weight, const float *gradient, const float *rate,
                     float *moments, const float *scale);

typedef struct {
    int32_t size;
} mg_square_sum_params;

/* y = previous (null: 0) + sum of gradient^2, in four accumulators. y may be previous. */
void mg_square_sum_float32(const mg_square_sum_params *params, const float *gradient, const float *previous,
                           float *y);

typedef struct {
    float norm;
} mg_clip_scale_params;

/* y = min(1, norm / (sqrt(square_sum) + 1e-6)). y may be square_sum. */
void mg_clip_scale_float32(const mg_clip_scale_params *params, const float *square_sum, float *y);

typedef struct {
    int32_t size;
    float weight;
} mg_accumulate_params;

/* sum += weight * gradient. */
void mg_accumulate_float32(const mg_accumulate_params *params, float *sum, const float *gradient);

typedef struct {
    int32_t size;
} mg_clear_params;

/* x = 0. */
void mg_clear_float32(const mg_clear_params *params, float *x);
void mg_clear_int16(const mg_clear_params *params, int16_t *x);

#endif
