#include "mg_pool.h"

/* Position by position, channel by channel; the taps in order, so that the first of equals wins. */
void mg_max_pool_int8(const mg_max_pool_params *params, const int8_t *x, int8_t *y, void *index) {
    const int32_t channels = params->channels;
    const int32_t x_column = params->width.dilation * channels;
    const int32_t x_row = params->height.dilation * params->width.input * channels;
    uint8_t *narrow = params->index_bytes == 1 ? index : 0;
    int32_t *wide = params->index_bytes == 4 ? index : 0;
    for (int32_t row = 0; row < params->height.output; ++row) {
        const mg_overlap down = mg_taps_at(&params->height, row);
        for (int32_t column = 0; column < params->width.output; ++column) {
            const mg_overlap along = mg_taps_at(&params->width, column);
            const int8_t *seen = x + (down.other * params->width.input + along.other) * channels;
            for (int32_t channel = 0; channel < channels; ++channel, ++seen) {
                const int8_t *from = seen;
                int32_t first = down.first * params->width.kernel + along.first;
                int32_t winner = first;
                int8_t best = *seen;
                for (int32_t i = down.count; i > 0; --i, from += x_row, first += params->width.kernel) {
                    const int8_t *value = from;
                    for (int32_t tap = first; tap < first + along.count; ++tap, value += x_column) {
                        if (*value > best) {
                            best = *value;
                            winner = tap;
                        }
                    }
                }
                *y++ = best;
                if (narrow) {
                    *narrow++ = (uint8_t)winner;
                }
                if (wide) {
                    *wide++ = winner;
                }
            }
        }
    }
}
