/* Resizing of height and width, channels last. A 1-D tensor has height 1. All places are computed in integers. */
#ifndef MG_RESIZE_H
#define MG_RESIZE_H

#include "mg_fixed_point.h"

/* Position p of the output lies on place (p * step + start) / parts of the input. */
typedef struct {
    int32_t input;
    int32_t output;
    int32_t step;
    int32_t start;
    int32_t parts;
} mg_scaling;

typedef struct {
    mg_scaling height;
    mg_scaling width;
    int32_t channels;
} mg_resize_params;

/* The place below a position, and how far behind it the position lies: 0 .. parts - 1. */
static inline int32_t mg_place_below(const mg_scaling *axis, int32_t position, int32_t *rest) {
    const int32_t whole = position * axis->step + axis->start;
    int32_t place = whole / axis->parts;
    if (place * axis->parts > whole) {
        --place;
    }
    *rest = whole - place * axis->parts;
    return place;
}

static inline int32_t mg_on_axis(const mg_scaling *axis, int32_t place) {
    return place < 0 ? 0 : place >= axis->input ? axis->input - 1 : place;
}

/* The two places between which a position lies, and the weight of the second. */
typedef struct {
    int32_t first, second;
    float share;
} mg_between;

static inline mg_between mg_places_between(const mg_scaling *axis, int32_t position) {
    mg_between between;
    int32_t rest;
    const int32_t place = mg_place_below(axis, position, &rest);
    between.first = mg_on_axis(axis, place);
    between.second = mg_on_axis(axis, place + 1);
    between.share = (float)rest / (float)axis->parts;
    return between;
}

/* y: (out height, out width, channels) = x at the place below each position. */
void mg_resize_nearest_float32(const mg_resize_params *params, const float *x, float *y);
void mg_resize_nearest_int8(const mg_resize_params *params, const int8_t *x, int8_t *y);

/* dx, shaped as x: each element of dy is added, in order, to the one that it was taken from. */
void mg_resize_nearest_gradient_float32(const mg_resize_params *params, const float *dy, float *dx);

/* y = x between the four places around each position, first along the width. */
void mg_resize_linear_float32(const mg_resize_params *params, const float *x, float *y);

/* dx, shaped as x: each element of dy is shared, in order, by the four that it was taken from. */
void mg_resize_linear_gradient_float32(const mg_resize_params *params, const float *dy, float *dx);

/* Rounding: to nearest, ties to even, of steps from zero; or, of shares of 1024ths, the mean of the codes to nearest,
 * ties away from zero. Sums are int32. */
typedef struct {
    mg_scaling height;
    mg_scaling width;
    int32_t channels;
    int32_t multiplier, shift; /* 1 / (height.parts * width.parts) */
    mg_code_range y;
} mg_resize_int8_params;

/* y = x between the four places around each position, each with its share. */
void mg_resize_linear_int8(const mg_resize_int8_params *params, const int8_t *x, int8_t *y);

#endif
