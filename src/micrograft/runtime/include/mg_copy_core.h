/* Kernels that move elements, for the type that MG_MOVED names. */
#ifndef MG_COPY_CORE_H
#define MG_COPY_CORE_H

#include "mg_copy.h"

#ifndef MG_MOVED
#define MG_MOVED float
#endif

static inline void mg_copy(const mg_copy_params *params, const MG_MOVED *x, MG_MOVED *y) {
    for (int32_t row = 0; row < params->rows; ++row) {
        const MG_MOVED *from = x + row * params->x_stride;
        MG_MOVED *to = y + row * params->y_stride;
        for (int32_t column = 0; column < params->columns; ++column) {
            to[column] = from[column];
        }
    }
}

static inline void mg_transpose(const mg_transpose_params *params, const MG_MOVED *x, MG_MOVED *y) {
    const int32_t step = params->x_step;
    int32_t index[MG_OUTER_AXES] = {0};
    for (int32_t row = 0; row < params->rows; ++row) {
        const MG_MOVED *from = x;
        for (int32_t column = 0; column < params->columns; ++column, from += step) {
            *y++ = *from;
        }
        x += params->x_jump[mg_next_row(params->shape, index)];
    }
}

static inline void mg_scatter(const mg_scatter_params *params, const MG_MOVED *x, MG_MOVED *y) {
    int32_t index[MG_OUTER_AXES] = {0};
    for (int32_t i = 0; i < params->size; ++i) {
        y[i] = 0;
    }
    y += params->start;
    for (int32_t row = 0; row < params->rows; ++row) {
        MG_MOVED *to = y;
        for (int32_t column = 0; column < params->columns; ++column, to += params->x_step) {
            *to = *x++;
        }
        y += params->x_jump[mg_next_row(params->shape, index)];
    }
}

static inline void mg_pad(const mg_pad_params *params, const MG_MOVED *x, MG_MOVED *y) {
    for (int32_t row = 0; row < params->rows; ++row) {
        for (int32_t i = 0; i < params->before; ++i) {
            *y++ = 0;
        }
        for (int32_t i = 0; i < params->columns; ++i) {
            *y++ = *x++;
        }
        for (int32_t i = 0; i < params->after; ++i) {
            *y++ = 0;
        }
    }
}

#endif
