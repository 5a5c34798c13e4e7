/* Kernels of pooling over height and width, channels last. A 1-D pool has height 1. */
#ifndef MG_POOL_H
#define MG_POOL_H

#include "mg_window.h"

typedef struct {
    mg_axis height;
    mg_axis width;
    int32_t channels;
    int32_t index_bytes; /* 1: index is uint8_t; 4: it is int32_t */
} mg_max_pool_params;

typedef struct {
    mg_axis height;
    mg_axis width;
    int32_t channels;
    int32_t count_padding; /* 1: padding counts, as zeros, in the mean */
} mg_average_pool_params;

/* y: (out height, out width, channels) = the largest of each window of x. index, if not null and shaped as y, gets
 * the winner's number in the window (row of taps by row of taps). The first of equals wins,
 * and the first NaN over all; padding never does. */
void mg_max_pool_float32(const mg_max_pool_params *params, const float *x, float *y, void *index);

/* The same on int8 codes. */
void mg_max_pool_int8(const mg_max_pool_params *params, const int8_t *x, int8_t *y, void *index);

/* dx, shaped as x: each element of dy is added where its winner stood. */
void mg_max_pool_gradient_float32(const mg_max_pool_params *params, const float *dy, const void *index, float *dx);

/* y: (out height, out width, channels) = the sum of each window of x, taps in order, times one over its count. */
void mg_average_pool_float32(const mg_average_pool_params *params, const float *x, float *y);

/* dx, shaped as x: each element of dy, times one over the count, is added all over its window. */
void mg_average_pool_gradient_float32(const mg_average_pool_params *params, const float *dy, float *dx);

#endif
