/* Updates of a weight that compute its gradient part by part, so that the gradient never exists as a whole. Every sum
 * runs in the order of the kernels that compute it as a whole: the results are the same bits. */
#ifndef MG_FUSED_UPDATE_H
#define MG_FUSED_UPDATE_H

#include "mg_conv.h"

typedef struct {
    mg_axis height; /* of a linear layer: one row of places */
    mg_axis width;
    int32_t in_channels;
    int32_t out_channels;
    int32_t groups;
    int32_t linear; /* whether it is a linear layer over the places */
    int32_t depthwise;
    int32_t size; /* of the weight */
    float momentum;
    float weight_decay;
} mg_fused_update_params;

/* What an update reads and writes; velocity and scale may be null. */
typedef struct {
    float *weight;
    float *velocity;
    const float *rate;
    const float *scale;
} mg_updated;

/* The part of the gradient that begins at element `from` of the weight, in dw: four outputs' rows at most, or one tap
 * of a depthwise weight. Returns how many elements that is. */
int32_t mg_weight_gradient_part_float32(const mg_fused_update_params *params, const float *x, const float *dy,
                                        int32_t from, float *dw);

/* As mg_sgd_float32, or with a velocity mg_sgd_momentum_float32. scratch: the largest part of the gradient. */
void mg_fused_update_float32(const mg_fused_update_params *params, const float *x, const float *dy,
                             const mg_updated *updated, float *scratch);

/* As mg_square_sum_float32. */
void mg_fused_square_sum_float32(const mg_fused_update_params *params, const float *x, const float *dy, float *scratch,
                                 float *y);

#endif
