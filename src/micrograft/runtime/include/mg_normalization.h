/* Layer, group, instance and root-mean-square normalisation. x is cut into groups, each normalised by itself:
 * a group is `positions` runs of `width` neighbouring elements. Nothing but x is kept for the backward pass. */
#ifndef MG_NORMALIZATION_H
#define MG_NORMALIZATION_H

#include "mg_four.h"

typedef struct {
    int32_t groups;
    int32_t group_stride; /* elements from the start of a group to that of the next */
    int32_t positions;
    int32_t position_stride; /* elements from run to run in a group */
    int32_t width;
    int32_t weight_stride; /* elements of the weight from group to group: 0 where all groups share it */
    int32_t weights;       /* elements of the weight */
    int32_t centers;       /* whether the mean is taken off, which RMS normalisation does not do */
    float epsilon;
} mg_normalization_params;

/* y = (x - mean) / sqrt(variance + epsilon) * weight + bias, the mean 0 where !centers. weight, bias: or null.
 * y may be x. */
void mg_normalization_float32(const mg_normalization_params *params, const float *x, const float *weight,
                              const float *bias, float *y);

/* dx from dy. weight: or null. dx may be x or dy. */
void mg_normalization_input_gradient_float32(const mg_normalization_params *params, const float *x,
                                             const float *dy, const float *weight, float *dx);

/* dw: (weights) = the sum over groups and positions of dy times the normalised x. */
void mg_normalization_weight_gradient_float32(const mg_normalization_params *params, const float *x,
                                              const float *dy, float *dw);

/* What a group is shifted and multiplied by. */
typedef struct {
    float mean, scale;
} mg_moments;

static inline float mg_sum_of_four(mg_four sum) {
    return (sum.a + sum.b) + (sum.c + sum.d);
}

/* The sum of (x - mean)^2, or of x where `plain`, over a group: four accumulators, then the ends of the runs. */
static inline float mg_group_sum(const mg_normalization_params *p, const float *x, float mean, int32_t plain) {
    mg_four sum = mg_four_zero();
    float rest = 0.0f;
    for (int32_t position = 0; position < p->positions; ++position, x += p->position_stride) {
        int32_t i = 0;
        for (; i + 4 <= p->width; i += 4) {
            mg_four value = mg_four_load(x + i);
            value.a -= mean;
            value.b -= mean;
            value.c -= mean;
            value.d -= mean;
            sum = plain ? mg_four_scale_add(1.0f, value, sum) : mg_four_multiply_add(value, value, sum);
        }
        for (; i < p->width; ++i) {
            const float value = x[i] - mean;
            rest = plain ? rest + value : mg_fma(value, value, rest);
        }
    }
    return mg_sum_of_four(sum) + rest;
}

static inline mg_moments mg_group_moments(const mg_normalization_params *p, const float *x) {
    const float size = (float)(p->positions * p->width);
    mg_moments found;
    found.mean = p->centers ? mg_group_sum(p, x, 0.0f, 1) / size : 0.0f;
    found.scale = 1.0f / mg_sqrt(mg_group_sum(p, x, found.mean, 0) / size + p->epsilon);
    return found;
}

#endif
