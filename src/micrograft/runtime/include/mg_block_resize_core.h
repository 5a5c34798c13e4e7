/* The gradient of resizing to the nearest, for the width that MG_BLOCK_BITS says. Sums are int32,
 * of at most 2^15 elements; places are in order along both axes. */
#ifndef MG_BLOCK_RESIZE_CORE_H
#define MG_BLOCK_RESIZE_CORE_H

#include "mg_block_core.h"
#include "mg_block_resize.h"

/* The first position, from one on, that does not lie on a place before this one. */
static inline int32_t mg_first_behind(const mg_scaling *axis, int32_t position, int32_t place) {
    int32_t rest;
    while (position < axis->output && mg_on_axis(axis, mg_place_below(axis, position, &rest)) < place) {
        ++position;
    }
    return position;
}

static inline void mg_block_resize_nearest_gradient(const mg_resize_params *params, const mg_block *dy,
                                                    const mg_block *dx) {
    const int32_t channels = params->channels;
    const int32_t dy_row = params->width.output * channels;
    mg_narrowing n = mg_narrowing_by(dx->scale[0]);
    do {
        mg_element *to = dx->codes;
        int32_t top = 0;
        for (int32_t row = 0; row < params->height.input; ++row) {
            const int32_t bottom = mg_first_behind(&params->height, top, row + 1);
            int32_t left = 0;
            for (int32_t column = 0; column < params->width.input; ++column) {
                const int32_t right = mg_first_behind(&params->width, left, column + 1);
                for (int32_t channel = 0; channel < channels; ++channel) {
                    int32_t sum = 0;
                    for (int32_t i = top; i < bottom; ++i) {
                        for (int32_t j = left; j < right; ++j) {
                            sum += dy->codes[i * dy_row + j * channels + channel];
                        }
                    }
                    *to++ = mg_narrowed(&n, sum);
                }
                left = right;
            }
            top = bottom;
        }
    } while (!mg_settled(&n, dx->scale));
    dx->scale[1] = dy->scale[1] + n.shift;
}

#endif
