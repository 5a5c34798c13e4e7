/* Arithmetic that chooses, with broadcasting as in mg_arithmetic.h. Mask bits lie in the order of y, lowest first. */
#ifndef MG_CHOICE_H
#define MG_CHOICE_H

#include "mg_arithmetic.h"
#include "mg_elements.h"

/* Bit `index` of a row of bits that is written from its front. */
static inline void mg_put_bit(uint8_t *bits, int32_t index, int set) {
    if ((index & 7) == 0) {
        bits[index >> 3] = 0;
    }
    if (set) {
        bits[index >> 3] = (uint8_t)(bits[index >> 3] | 1u << (index & 7));
    }
}

static inline int mg_get_bit(const uint8_t *bits, int32_t index) { return bits[index >> 3] >> (index & 7) & 1; }

/* y = a / b. y may be whichever of a, b is not stretched. */
void mg_div_float32(const mg_broadcast_params *params, const float *a, const float *b, float *y);

/* y = the larger of a and b, a where they are equal or a is NaN, b where b is. left and right, if not null, get a
 * bit per element: set where a >= b and where b >= a. y may be whichever of a, b is not stretched. */
void mg_maximum_float32(const mg_broadcast_params *params, const float *a, const float *b, float *y, uint8_t *left,
                        uint8_t *right);
void mg_maximum_int8(const mg_broadcast_params *params, const int8_t *a, const int8_t *b, int8_t *y, uint8_t *left,
                     uint8_t *right);

/* The same with the smaller: the bits are set where a <= b and where b <= a. */
void mg_minimum_float32(const mg_broadcast_params *params, const float *a, const float *b, float *y, uint8_t *left,
                        uint8_t *right);
void mg_minimum_int8(const mg_broadcast_params *params, const int8_t *a, const int8_t *b, int8_t *y, uint8_t *left,
                     uint8_t *right);

/* y = 1 where a > b, else 0. y may be whichever of a, b is not stretched. */
void mg_greater_float32(const mg_broadcast_params *params, const float *a, const float *b, float *y);

/* y = 1 where a >= b, else 0. y may be whichever of a, b is not stretched. */
void mg_greater_equal_float32(const mg_broadcast_params *params, const float *a, const float *b, float *y);

/* y = 1 where a = b, else 0. y may be whichever of a, b is not stretched. */
void mg_equal_float32(const mg_broadcast_params *params, const float *a, const float *b, float *y);

typedef struct {
    int32_t rows;
    int32_t columns;
    int32_t shape[MG_OUTER_AXES];
    int32_t condition_step;
    int32_t a_step;
    int32_t b_step;
    int32_t condition_jump[MG_OUTER_AXES];
    int32_t a_jump[MG_OUTER_AXES];
    int32_t b_jump[MG_OUTER_AXES];
} mg_where_params;

/* y = a where the condition is not 0, else b. y may be whichever of the three is not stretched. */
void mg_where_float32(const mg_where_params *params, const float *condition, const float *a, const float *b, float *y);

/* dx = dy where the bit of `own` alone is set, dy / 2 where that of `other` is too, else 0. dx may be dy. */
void mg_share_gradient_float32(const mg_elements_params *params, const float *dy, const uint8_t *own,
                               const uint8_t *other, float *dx);

/* y = x above 0, else slope * x; slope is stretched. Mask bits are set where x > 0. y may be x. */
void mg_prelu_float32(const mg_broadcast_params *params, const float *x, const float *slope, float *y, uint8_t *mask);

/* dx = dy where the bit is set, else slope * dy. dx may be dy. */
void mg_prelu_gradient_float32(const mg_broadcast_params *params, const float *dy, const float *slope,
                               const uint8_t *mask, float *dx);

/* dslope = sum of dy * min(x, 0) over the axes along which slope is stretched, in order, by fused multiply-add. */
void mg_prelu_slope_gradient_float32(const mg_mul_sum_to_params *params, const float *dy, const float *x,
                                     float *dslope);

#endif
