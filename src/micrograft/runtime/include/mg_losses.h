/* Losses, each a mean, and their gradients. Sums run in order, in one float32 accumulator. */
#ifndef MG_LOSSES_H
#define MG_LOSSES_H

#include <stdint.h>

typedef struct {
    int32_t rows;
    int32_t classes;
} mg_cross_entropy_params;

/* loss = mean over rows of log(sum of e^logits) - logits[target]. logits: (rows, classes); target: (rows), each
 * in 0 .. classes - 1, which the caller has checked. */
void mg_cross_entropy_float32(const mg_cross_entropy_params *params, const float *logits, const int32_t *target,
                              float *loss);

/* dx = (softmax(logits) - onehot(target)) / rows. dx may be logits. */
void mg_cross_entropy_gradient_float32(const mg_cross_entropy_params *params, const float *logits,
                                       const int32_t *target, float *dx);

typedef struct {
    int32_t size;
} mg_loss_params;

/* loss = mean of (y - target)^2. */
void mg_mean_squared_error_float32(const mg_loss_params *params, const float *y, const float *target, float *loss);

/* dx = (y - target) * 2 / size. dx may be y. */
void mg_mean_squared_error_gradient_float32(const mg_loss_params *params, const float *y, const float *target,
                                            float *dx);

/* loss = mean of max(x, 0) - x * target + log(1 + e^-|x|), x the logits. */
void mg_binary_cross_entropy_float32(const mg_loss_params *params, const float *logits, const float *target,
                                     float *loss);

/* dx = (1 / (1 + e^-logits) - target) / size. dx may be logits. */
void mg_binary_cross_entropy_gradient_float32(const mg_loss_params *params, const float *logits,
                                              const float *target, float *dx);

#endif
