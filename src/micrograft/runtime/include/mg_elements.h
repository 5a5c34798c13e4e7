/* Kernels that treat a tensor as a row of elements. */
#ifndef MG_ELEMENTS_H
#define MG_ELEMENTS_H

#include <stdint.h>

typedef struct {
    int32_t size; /* elements */
} mg_elements_params;

/* y = max(x, 0). A mask, if not null, gets one bit per element, lowest first: set where x > 0. y may be x. */
void mg_relu_float32(const mg_elements_params *params, const float *x, float *y, uint8_t *mask);

/* y = min(max(x, 0), 6). Mask bits are set where 0 < x < 6. y may be x. */
void mg_relu6_float32(const mg_elements_params *params, const float *x, float *y, uint8_t *mask);

/* dx = dy where the mask's bit is set, else 0. dx may be dy. */
void mg_mask_gradient_float32(const mg_elements_params *params, const float *dy, const uint8_t *mask, float *dx);

#endif
