/* Gradients of pools and of biases, for the width that MG_BLOCK_BITS says. Sums are int32: of at most 2^15 elements. */
#ifndef MG_BLOCK_POOL_CORE_H
#define MG_BLOCK_POOL_CORE_H

#include "mg_block_core.h"

/* The sum of what one place of x gets: dy of every window on it, or where there is an index of those that it won. */
static inline int32_t mg_block_pooled(const mg_axis *width, const mg_overlap *down, const mg_overlap *along,
                                      int32_t channels, const mg_element *dy, const void *index, int narrow) {
    int32_t sum = 0;
    for (int32_t i = 0; i < down->count; ++i) {
        for (int32_t j = 0; j < along->count; ++j) {
            const int32_t row = down->other + i * down->other_step;
            const int32_t column = along->other + j * along->other_step;
            const int32_t tap = (down->first + i * down->step) * width->kernel + along->first + j * along->step;
            const int32_t at = (row * width->output + column) * channels;
            if (!index || tap == (narrow ? ((const uint8_t *)index)[at] : ((const int32_t *)index)[at])) {
                sum += dy[at];
            }
        }
    }
    return sum;
}

static inline void mg_block_pool_gradient(const mg_axis *height, const mg_axis *width, int32_t channels,
                                          const mg_block *dy, const void *index, int narrow, const mg_block *dx) {
    const uint8_t *bytes = index;
    mg_narrowing n = mg_narrowing_by(dx->scale[0]);
    do {
        mg_element *to = dx->codes;
        for (int32_t row = 0; row < height->input; ++row) {
            const mg_overlap down = mg_taps_on(height, row);
            for (int32_t column = 0; column < width->input; ++column) {
                const mg_overlap along = mg_taps_on(width, column);
                for (int32_t channel = 0; channel < channels; ++channel) {
                    const void *here = bytes ? bytes + channel * (narrow ? 1 : 4) : 0;
                    *to++ = mg_narrowed(&n, mg_block_pooled(width, &down, &along, channels, dy->codes + channel, here,
                                                            narrow));
                }
            }
        }
    } while (!mg_settled(&n, dx->scale));
    dx->scale[1] = dy->scale[1] + n.shift;
}

/* db: (outputs) = the sum of dy: (rows, outputs) over its rows, in int64. */
static inline void mg_block_linear_bias_gradient(const mg_linear_params *params, const mg_block *dy,
                                                 const mg_block *db) {
    const int32_t outputs = params->outputs;
    mg_narrowing n = mg_narrowing_by(db->scale[0]);
    do {
        for (int32_t output = 0; output < outputs; ++output) {
            int64_t sum = 0;
            for (int32_t row = 0; row < params->rows; ++row) {
                sum += dy->codes[row * outputs + output];
            }
            db->codes[output] = mg_narrowed_wide(&n, sum);
        }
    } while (!mg_settled(&n, db->scale));
    db->scale[1] = dy->scale[1] + n.shift;
}

#endif
