#include "mg_channels.h"

void mg_take_channels_int8(const mg_channels_params *params, const int8_t *x, const int32_t *index, int8_t *y) {
    for (int32_t row = params->rows; row > 0; --row, x += params->channels) {
        for (int32_t i = 0; i < params->chosen; ++i) {
            *y++ = x[index[i]];
        }
    }
}
