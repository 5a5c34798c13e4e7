#include "mg_channels.h"

void mg_put_channels_int8(const mg_channels_params *params, const int8_t *x, const int8_t *part,
                             const int32_t *index, int8_t *y) {
    for (int32_t row = params->rows; row > 0; --row, x += params->channels, y += params->channels) {
        if (y != x) {
            for (int32_t channel = 0; channel < params->channels; ++channel) {
                y[channel] = x[channel];
            }
        }
        for (int32_t i = 0; i < params->chosen; ++i) {
            y[index[i]] = *part++;
        }
    }
}
