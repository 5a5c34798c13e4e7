#include "mg_pool.h"

void mg_average_pool_float32(const mg_average_pool_params *params, const float *x, float *y) {
    const int32_t channels = params->channels;
    const int32_t x_row = params->width.input * channels;
    for (int32_t position = 0; position < params->height.output; ++position) {
        const mg_overlap down = mg_taps_at(&params->height, position);
        for (int32_t column = 0; column < params->width.output; ++column) {
            const mg_overlap along = mg_taps_at(&params->width, column);
            const float *seen = x + down.other * x_row + along.other * channels;
            const int32_t count =
                params->count_padding ? params->height.kernel * params->width.kernel : down.count * along.count;
            const float share = 1.0f / (float)count;
            for (int32_t channel = 0; channel < channels; ++channel, ++seen) {
                const float *row = seen;
                float sum = 0.0f;
                for (int32_t i = down.count; i > 0; --i, row += x_row) {
                    const float *value = row;
                    for (int32_t j = along.count; j > 0; --j, value += channels) {
                        sum += *value;
                    }
                }
                *y++ = sum * share;
            }
        }
    }
}
