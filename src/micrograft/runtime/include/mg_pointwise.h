/* Functions of one element at a time. y may be x in all of them, and dx may be dy. A NaN passes, and so shows. */
#ifndef MG_POINTWISE_H
#define MG_POINTWISE_H

#include <stdint.h>

#include "mg_elements.h"

typedef struct {
    int32_t size;
    float low;
    float high;
    int32_t ends; /* whether the gradient passes at low and high themselves */
} mg_clip_params;

/* y = min(max(x, low), high). A mask, if not null, gets one bit per element, lowest first: set where the gradient
 * passes. */
void mg_clip_float32(const mg_clip_params *params, const float *x, float *y, uint8_t *mask);

typedef struct {
    int32_t size;
    float slope;
    float offset;
} mg_hard_sigmoid_params;

/* y = min(max(slope * x + offset, 0), 1). Mask bits are set where it lies between the two. */
void mg_hard_sigmoid_float32(const mg_hard_sigmoid_params *params, const float *x, float *y, uint8_t *mask);

/* y = x * min(max(x + 3, 0), 6) / 6. */
void mg_hard_swish_float32(const mg_elements_params *params, const float *x, float *y);

/* dx = dy times 0 up to x = -3, 1 from x = 3 on, x / 3 + 1 / 2 between them. dx may be dy or x. */
void mg_hard_swish_gradient_float32(const mg_elements_params *params, const float *dy, const float *x, float *dx);

typedef struct {
    int32_t size;
    float alpha;
} mg_elu_params;

/* y = x above 0, else alpha * (e^x - 1). */
void mg_elu_float32(const mg_elu_params *params, const float *x, float *y);

/* dx = dy above y = 0, else dy * (y + alpha). dx may be dy or y. */
void mg_elu_gradient_float32(const mg_elu_params *params, const float *dy, const float *y, float *dx);

/* y = e^x. */
void mg_exp_float32(const mg_elements_params *params, const float *x, float *y);

/* y = log(x). */
void mg_log_float32(const mg_elements_params *params, const float *x, float *y);

/* y = the square root of x. */
void mg_sqrt_float32(const mg_elements_params *params, const float *x, float *y);

/* y = |x|. */
void mg_abs_float32(const mg_elements_params *params, const float *x, float *y);

/* dx = dy, 0 or -dy with the sign of x. dx may be dy or x. */
void mg_abs_gradient_float32(const mg_elements_params *params, const float *dy, const float *x, float *dx);

/* y = 1 / x. */
void mg_reciprocal_float32(const mg_elements_params *params, const float *x, float *y);

/* y = log(1 + e^x). */
void mg_softplus_float32(const mg_elements_params *params, const float *x, float *y);

/* dx = dy * (1 - e^-y). dx may be dy or y. */
void mg_softplus_gradient_float32(const mg_elements_params *params, const float *dy, const float *y, float *dx);

#endif
