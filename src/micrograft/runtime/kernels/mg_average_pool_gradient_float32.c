#include "mg_math.h"
#include "mg_pool.h"

void mg_average_pool_gradient_float32(const mg_average_pool_params *params, const float *dy, float *dx) {
    const int32_t channels = params->channels;
    const int32_t x_row = params->width.input * channels;
    for (int32_t i = 0; i < params->height.input * x_row; ++i) {
        dx[i] = 0.0f;
    }
    for (int32_t position = 0; position < params->height.output; ++position) {
        const mg_overlap down = mg_taps_at(&params->height, position);
        for (int32_t column = 0; column < params->width.output; ++column, dy += channels) {
            const mg_overlap along = mg_taps_at(&params->width, column);
            float *row = dx + down.other * x_row + along.other * channels;
            const int32_t count =
                params->count_padding ? params->height.kernel * params->width.kernel : down.count * along.count;
            const float share = 1.0f / (float)count;
            for (int32_t i = 0; i < down.count; ++i, row += x_row) {
                float *place = row;
                for (int32_t j = 0; j < along.count; ++j) {
                    for (int32_t channel = 0; channel < channels; ++channel) {
                        *place = mg_fma(dy[channel], share, *place);
                        ++place;
                    }
                }
            }
        }
    }
}
