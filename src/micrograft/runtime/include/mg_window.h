/* A window that slides over the height and the width of an input (height, width, channels).
 * Tap k of the window at position p lies on place p*stride + k*dilation - padding of the input. */
#ifndef MG_WINDOW_H
#define MG_WINDOW_H

#include <stdint.h>

typedef struct {
    int32_t input;    /* places of the input */
    int32_t output;   /* positions of the window */
    int32_t kernel;   /* taps of the window */
    int32_t stride;   /* places from one position to the next */
    int32_t padding;  /* places before the input's first */
    int32_t dilation; /* places from one tap to the next */
} mg_axis;

/* Two coordinates that move together along an axis, `count` times. */
typedef struct {
    int32_t count;
    int32_t first, step; /* of what is walked along */
    int32_t other, other_step; /* of what is met there */
} mg_walk;

/* Along the taps of the window at `position` that lie on the input; met: the places under them. */
static inline mg_walk mg_taps_at(const mg_axis *axis, int32_t position) {
    const int32_t dilation = axis->dilation;
    const int32_t start = position * axis->stride - axis->padding;
    const int32_t room = axis->input - start;
    mg_walk walk = {0, 0, 1, start, dilation};
    if (room > 0) {
        const int32_t end = (room + dilation - 1) / dilation;
        walk.first = start < 0 ? (dilation - 1 - start) / dilation : 0;
        walk.count = (end < axis->kernel ? end : axis->kernel) - walk.first;
        walk.other += walk.first * dilation;
    }
    return walk;
}

/* Along the positions whose tap `tap` lies on the input; met: the places under it. */
static inline mg_walk mg_positions_of(const mg_axis *axis, int32_t tap) {
    const int32_t stride = axis->stride;
    const int32_t start = tap * axis->dilation - axis->padding;
    const int32_t room = axis->input - start;
    mg_walk walk = {0, 0, 1, start, stride};
    if (room > 0) {
        const int32_t end = (room + stride - 1) / stride;
        walk.first = start < 0 ? (stride - 1 - start) / stride : 0;
        walk.count = (end < axis->output ? end : axis->output) - walk.first;
        walk.other += walk.first * stride;
    }
    return walk;
}

/* Along the taps that some position lays on `place`; met: these positions. */
static inline mg_walk mg_taps_on(const mg_axis *axis, int32_t place) {
    const int32_t stride = axis->stride;
    const int32_t dilation = axis->dilation;
    const int32_t last = (axis->output - 1) * stride; /* start of the last window, seen from the first */
    int32_t from = place + axis->padding;             /* start of the window whose tap `tap` lies on place */
    int32_t tap = 0;
    mg_walk walk = {0, 0, 1, 0, 0};
    while (tap < axis->kernel && (from > last || (from >= 0 && from % stride != 0))) {
        from -= dilation;
        ++tap;
    }
    walk.first = tap;
    walk.other = from / stride;
    while ((walk.step * dilation) % stride != 0) {
        ++walk.step;
    }
    walk.other_step = -(walk.step * dilation) / stride;
    for (; tap < axis->kernel && from >= 0; tap += walk.step, from -= walk.step * dilation) {
        ++walk.count;
    }
    return walk;
}

#endif
