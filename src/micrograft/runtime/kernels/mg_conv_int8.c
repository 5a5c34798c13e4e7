#include "mg_conv_core_int8.h"

void mg_conv_int8(const mg_conv_int8_params *params, const int8_t *x, const int8_t *weight, const mg_channels *channels,
                  int16_t *columns, int8_t *y) {
    const mg_way none = {0, 0, 0, 0};
    mg_conv_core_int8(params, x, weight, channels, none, columns, params->out_channels, y);
}
