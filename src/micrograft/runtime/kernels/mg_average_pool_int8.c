#include "mg_pool_int8.h"

void mg_average_pool_int8(const mg_average_pool_int8_params *params, const int8_t *x, int8_t *y) {
    const int32_t channels = params->channels;
    const int32_t x_row = params->height.dilation * params->width.input * channels;
    const int32_t x_column = params->width.dilation * channels;
    for (int32_t row = 0; row < params->height.output; ++row) {
        const mg_overlap down = mg_taps_at(&params->height, row);
        for (int32_t column = 0; column < params->width.output; ++column) {
            const mg_overlap along = mg_taps_at(&params->width, column);
            const int8_t *seen = x + (down.other * params->width.input + along.other) * channels;
            const int32_t count = down.count * along.count;
            for (int32_t channel = 0; channel < channels; ++channel, ++seen) {
                const int8_t *from = seen;
                int32_t sum = 0;
                for (int32_t i = down.count; i > 0; --i, from += x_row) {
                    const int8_t *value = from;
                    for (int32_t j = along.count; j > 0; --j, value += x_column) {
                        sum += *value;
                    }
                }
                sum = (sum > 0 ? sum + count / 2 : sum - count / 2) / count;
                *y++ = mg_clamped(sum, params->low, params->high);
            }
        }
    }
}
