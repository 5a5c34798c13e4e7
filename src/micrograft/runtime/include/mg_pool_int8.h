/* Means of int8 codes over height and width, channels last. A 1-D pool has height 1. Sums are int32. */
#ifndef MG_POOL_INT8_H
#define MG_POOL_INT8_H

#include "mg_fixed_point.h"
#include "mg_window.h"

typedef struct {
    mg_axis height;
    mg_axis width;
    int32_t channels;
    mg_code_range y;
} mg_average_pool_int8_params;

/* y: (out height, out width, channels) = the mean of the codes of each window of x, to nearest, ties away from code 0
 * or, where codes are rounded once, to an even number of steps; padding does not count. */
void mg_average_pool_int8(const mg_average_pool_int8_params *params, const int8_t *x, int8_t *y);

typedef struct {
    int32_t positions;
    int32_t channels;
    int32_t x_zero;
    int32_t multiplier, shift; /* the factor on a sum */
    mg_code_range y;
} mg_mean_int8_params;

/* y: (channels) = the sum of x - x_zero over (positions, channels) times the factor. Rounding: mg_fixed_point.h. */
void mg_mean_int8(const mg_mean_int8_params *params, const int8_t *x, int8_t *y);

#endif
