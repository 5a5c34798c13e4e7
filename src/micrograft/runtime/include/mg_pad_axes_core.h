/* Padding along any axes, for the type that MG_MOVED names. */
#ifndef MG_PAD_AXES_CORE_H
#define MG_PAD_AXES_CORE_H

#include "mg_pad.h"

#ifndef MG_MOVED
#define MG_MOVED float
#endif

static inline void mg_pad_axes(const mg_pad_axes_params *params, MG_MOVED constant, const MG_MOVED *x, MG_MOVED *y) {
    int32_t index[MG_OUTER_AXES] = {0};
    for (int32_t row = 0; row < params->rows; ++row) {
        const int32_t from = mg_pad_row(params, index);
        for (int32_t column = 0; column < params->columns; ++column) {
            const int32_t place = mg_pad_place(column - params->start, params->size, params->mode);
            *y++ = from < 0 || place < 0 ? constant : x[from + place];
        }
        index[0] += mg_next_row(params->shape, index) == 0; /* which that counter does not need */
    }
}

#endif
