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
    int32_t first, step; /* of one side */
    int32_t other, other_step; /* of the other */
} mg_overlap;

/* Of `steps` steps from place `start` by `step`, those on the input; met: these places. */
static inline mg_overlap mg_overlap_inside(const mg_axis *axis, int32_t start, int32_t step, int32_t steps) {
    const int32_t room = axis->input - start;
    mg_overlap overlap = {0, 0, 1, 0, step};
    if (room > 0) {
        const int32_t first = start < 0 ? (step - 1 - start) / step : 0;
        const int32_t end = (room + step - 1) / step;
        const int32_t count = (end < steps ? end : steps) - first;
        if (count > 0) {
            overlap.count = count;
            overlap.first = first;
            overlap.other = start + first * step;
        }
    }
    return overlap;
}

/* Along the taps of the window at `position` that lie on the input; met: the places under them. */
static inline mg_overlap mg_taps_at(const mg_axis *axis, int32_t position) {
    return mg_overlap_inside(axis, position * axis->stride - axis->padding, axis->dilation, axis->kernel);
}

/* Along the positions whose tap `tap` lies on the input; met: the places under it. */
static inline mg_overlap mg_positions_of(const mg_axis *axis, int32_t tap) {
    return mg_overlap_inside(axis, tap * axis->dilation - axis->padding, axis->stride, axis->output);
}

/* Along the taps that some position lays on `place`; met: these positions. */
static inline mg_overlap mg_taps_on(const mg_axis *axis, int32_t place) {
    const int32_t stride = axis->stride;
    const int32_t dilation = axis->dilation;
    const int32_t last = (axis->output - 1) * stride; /* start of the last window, seen from the first */
    int32_t from = place + axis->padding;             /* start of the window whose tap `tap` lies on place */
    int32_t tap = 0;
    mg_overlap overlap = {0, 0, 1, 0, 0};
    while (tap < axis->kernel && (from > last || (from >= 0 && from % stride != 0))) {
        from -= dilation;
        ++tap;
    }
    if (tap == axis->kernel || from < 0) {
        return overlap;
    }
    overlap.first = tap;
    overlap.other = from / stride;
    while ((overlap.step * dilation) % stride != 0) {
        ++overlap.step;
    }
    overlap.other_step = -(overlap.step * dilation) / stride;
    for (; tap < axis->kernel && from >= 0; tap += overlap.step, from -= overlap.step * dilation) {
        ++overlap.count;
    }
    return overlap;
}

#endif
