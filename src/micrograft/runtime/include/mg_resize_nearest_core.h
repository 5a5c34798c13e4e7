/* y = x at the place below each position, for the type that MG_MOVED names. */
#ifndef MG_RESIZE_NEAREST_CORE_H
#define MG_RESIZE_NEAREST_CORE_H

#include "mg_resize.h"

#ifndef MG_MOVED
#define MG_MOVED float
#endif

static inline void mg_resize_nearest(const mg_resize_params *params, const MG_MOVED *x, MG_MOVED *y) {
    const mg_scaling *const width = &params->width;
    int32_t rest;
    for (int32_t row = 0; row < params->height.output; ++row) {
        const int32_t from = mg_on_axis(&params->height, mg_place_below(&params->height, row, &rest));
        for (int32_t column = 0; column < width->output; ++column) {
            const int32_t place = mg_on_axis(width, mg_place_below(width, column, &rest));
            const MG_MOVED *values = x + (from * width->input + place) * params->channels;
            for (int32_t channel = 0; channel < params->channels; ++channel) {
                *y++ = values[channel];
            }
        }
    }
}

#endif
