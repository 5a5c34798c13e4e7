/* Padding along any axes: with a constant, with the nearest element, or mirrored. */
#ifndef MG_PAD_H
#define MG_PAD_H

#include <stdint.h>

#include "mg_walk.h"

enum { MG_PAD_CONSTANT, MG_PAD_EDGE, MG_PAD_REFLECT, MG_PAD_WRAP };

typedef struct {
    int32_t rows;                  /* of y */
    int32_t shape[MG_OUTER_AXES];  /* of the axes outside a row of y */
    int32_t sizes[MG_OUTER_AXES];  /* of the same axes of x */
    int32_t before[MG_OUTER_AXES]; /* places of y in front of the first one of x */
    int32_t steps[MG_OUTER_AXES];  /* elements of x from one index to the next */
    int32_t columns;               /* elements of a row of y */
    int32_t size;                  /* elements of a row of x */
    int32_t start;                 /* elements of a row of y in front of the first one of x */
    int32_t mode;
    float value;
    int32_t code; /* the constant where elements are codes */
} mg_pad_axes_params;

/* The place of an axis of x that stands at `place`, counted from its first: -1 where a constant does. */
static inline int32_t mg_pad_place(int32_t place, int32_t size, int32_t mode) {
    if (place >= 0 && place < size) {
        return place;
    }
    if (mode == MG_PAD_EDGE) {
        return place < 0 ? 0 : size - 1;
    }
    if (mode == MG_PAD_REFLECT) {
        return place < 0 ? -place : 2 * (size - 1) - place;
    }
    if (mode == MG_PAD_WRAP) {
        return place < 0 ? place + size : place - size;
    }
    return -1;
}

/* Where the row of x starts that the row `index` of y is taken from; -1 where that row is constant. */
static inline int32_t mg_pad_row(const mg_pad_axes_params *params, const int32_t *index) {
    int32_t start = 0;
    for (int32_t axis = 0; axis < MG_OUTER_AXES; ++axis) {
        const int32_t place = mg_pad_place(index[axis] - params->before[axis], params->sizes[axis], params->mode);
        if (place < 0) {
            return -1;
        }
        start += place * params->steps[axis];
    }
    return start;
}

/* y = x, padded. */
void mg_pad_axes_float32(const mg_pad_axes_params *params, const float *x, float *y);
void mg_pad_axes_int8(const mg_pad_axes_params *params, const int8_t *x, int8_t *y);

/* dx: each element of dy is added, in order, to the one of dx that it was taken from. */
void mg_pad_axes_gradient_float32(const mg_pad_axes_params *params, const float *dy, float *dx);

#endif
