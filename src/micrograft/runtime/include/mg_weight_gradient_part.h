/* The gradient of a weight, computed part by part for who reads it once and needs no more: the rows of four outputs at
 * most, or one tap of a depthwise weight. Every sum runs in the order of the kernels that compute it as a whole: the
 * results are the same bits. */
#ifndef MG_WEIGHT_GRADIENT_PART_H
#define MG_WEIGHT_GRADIENT_PART_H

#include "mg_conv.h"
#include "mg_conv_of_codes.h"

typedef struct {
    mg_axis height; /* of a linear layer: one row of places */
    mg_axis width;
    int32_t in_channels;
    int32_t out_channels;
    int32_t groups;
    int32_t linear; /* whether it is a linear layer over the places */
    int32_t depthwise;
    int32_t size; /* of the weight */
} mg_gradient_float32_params;

/* part: room for the largest one. */
typedef struct {
    const float *x;
    const float *dy;
    float *part;
} mg_gradient_float32;

/* The part that begins at element `from` of the weight. Returns how many elements that is. */
int32_t mg_weight_gradient_part_float32(const mg_gradient_float32_params *params, const mg_gradient_float32 *gradient,
                                        int32_t from);

typedef struct {
    mg_conv_of_codes_params conv; /* of a linear layer: one row of places */
    int32_t depthwise;
    int32_t size;     /* of the weight */
    int32_t channels; /* of the weight, each with a scale and `inner` elements */
    int32_t inner;
} mg_gradient_int8_params;

/* A layer on codes. scales: (channels), which make the gradient of the codes that of real numbers, as in
 * mg_real_gradient_float32; null: it stays that of the codes. */
typedef struct {
    const int8_t *x;
    const float *dy;
    const float *scales;
    float *part;
} mg_gradient_int8;

/* Which outputs' rows a part has, and how many elements; of a depthwise weight its size alone. */
typedef struct {
    int32_t first, count, size;
} mg_rows;

static inline mg_rows mg_rows_from(const mg_gradient_int8_params *params, int32_t from) {
    const mg_conv_of_codes_params *const conv = &params->conv;
    const int32_t size = conv->height.kernel * conv->width.kernel * (conv->in_channels / conv->groups);
    const int32_t outputs = conv->out_channels / conv->groups;
    mg_rows rows = {0, 0, conv->out_channels};
    if (!params->depthwise) {
        const int32_t left = outputs - from / size % outputs; /* of the group */
        rows.first = from / size;
        rows.count = left < 4 ? left : 4;
        rows.size = rows.count * size;
    }
    return rows;
}

int32_t mg_weight_gradient_part_int8(const mg_gradient_int8_params *params, const mg_gradient_int8 *gradient,
                                     int32_t from);

#endif
