#include "mg_pool.h"

/* One channel at one position: the taps in order. */
typedef struct {
    float value;
    int32_t tap;
} winner;

static winner find(const mg_max_pool_params *params, const mg_walk *down, const mg_walk *along, const float *x) {
    const int32_t x_column = along->other_step * params->channels;
    const int32_t x_row = down->other_step * params->width.input * params->channels;
    winner best = {0.0f, -1};
    for (int32_t row = 0; row < down->count; ++row, x += x_row) {
        const int32_t first = (down->first + row) * params->width.kernel + along->first;
        const float *value = x;
        for (int32_t tap = first; tap < first + along->count; ++tap, value += x_column) {
            if (best.tap < 0 || *value > best.value || *value != *value) { /* a NaN wins, and so shows */
                best.value = *value;
                best.tap = tap;
            }
        }
    }
    return best;
}

void mg_max_pool_float32(const mg_max_pool_params *params, const float *x, float *y, void *index) {
    const int32_t channels = params->channels;
    uint8_t *narrow = params->index_bytes == 1 ? index : 0;
    int32_t *wide = params->index_bytes == 4 ? index : 0;
    for (int32_t position = 0; position < params->height.output; ++position) {
        const mg_walk down = mg_taps_at(&params->height, position);
        for (int32_t column = 0; column < params->width.output; ++column) {
            const mg_walk along = mg_taps_at(&params->width, column);
            const float *seen = x + (down.other * params->width.input + along.other) * channels;
            for (int32_t channel = 0; channel < channels; ++channel) {
                const winner best = find(params, &down, &along, seen + channel);
                *y++ = best.value;
                if (narrow) {
                    *narrow++ = (uint8_t)best.tap;
                }
                if (wide) {
                    *wide++ = best.tap;
                }
            }
        }
    }
}
